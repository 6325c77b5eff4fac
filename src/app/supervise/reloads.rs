//! Reading the configuration again and applying the changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    answer::{Reply, RequestAnswer, refuse, refuse_with},
    load,
    on_disk::{Loaded, ReloadRequest, Waiting},
    state::{Proc, Supervisor},
    waiters::{Goal, Waiter},
};
use crate::{
    io::sys,
    model::{
        config::Config,
        machine::{Event, StopWhy},
        program::ProcState,
        reload::{Facts, Plan, Planned, ProcessChange, Removal, Scope, plan},
        wire::{Code, NameKind, Notice, ReloadOf, Response, ResultItem, Targets, WireError},
    },
};

impl Supervisor {
    /// Reads the configuration on another thread, then applies the changes.
    pub(super) fn reload(&mut self, of: &ReloadOf, dry_run: bool, wait: bool, until: Option<Duration>, reply: Reply) {
        let wanted = ReloadRequest::Reload { of: of.clone(), dry_run, wait };
        self.read_for(Waiting { wanted, reply: Some(reply), until });
    }

    /// Starts to read the configuration for a request, or does so after the current reading.
    fn read_for(&mut self, waiting: Waiting) {
        if self.on_disk.queue.push(waiting) {
            self.begin_reading();
        }
    }

    fn begin_reading(&mut self) {
        if !self.on_disk.begin_reading() {
            let loaded = self.on_disk.source.load();
            self.configuration_read(&loaded);
        }
    }

    /// Handles the waiting requests with a configuration that was read.
    pub(super) fn configuration_read(&mut self, loaded: &Loaded) {
        self.on_disk.hangs = false;
        let waiting = self.on_disk.queue.take();
        match loaded {
            Ok((config, _)) => self.on_disk.read.clone_from(&config.sha256),
            Err(errors) => {
                for error in errors {
                    self.log.error(&format!("config: {error}"));
                }
                self.log.error("reload: the configuration has errors; nothing was changed");
            }
        }
        waiting.into_iter().for_each(|waiting| self.fulfil(waiting, loaded));
        if !self.on_disk.queue.now.is_empty() {
            self.begin_reading();
        }
    }

    /// Handles one request with a configuration that was read.
    fn fulfil(&mut self, waiting: Waiting, loaded: &Loaded) {
        let Waiting { wanted, reply, until } = waiting;
        let reply = reply.unwrap_or_else(|| Box::new(|_| {}));
        if self.shutdown.is_some() && wanted.changes_something() {
            return reply(refuse(WireError::new(Code::ShuttingDown, "shutting down")));
        }
        let (config, warnings) = match loaded {
            Ok(loaded) => loaded,
            Err(errors) => return reply(refuse(wrong(errors))),
        };
        match wanted {
            ReloadRequest::Add(names) => self.add_from(config, &names, reply),
            ReloadRequest::Reload { of, dry_run, wait } => {
                let names: Vec<String>;
                let scope = match &of {
                    ReloadOf::All => Scope::All,
                    ReloadOf::Server => Scope::Server,
                    ReloadOf::UnixHttpServer => Scope::Unix,
                    ReloadOf::InetHttpServer => Scope::Inet,
                    ReloadOf::Client => Scope::Client,
                    ReloadOf::Named { kind, names: given } => {
                        names = named(*kind, given);
                        Scope::Names(&names)
                    }
                };
                match self.make_plan(config, scope) {
                    Err(error) => reply(refuse(error)),
                    Ok(plan) if dry_run => reply(RequestAnswer::One(Response::done(summary(&plan, warnings)))),
                    Ok(plan) => self.carry_out(plan, warnings, wait, until, reply),
                }
            }
        }
    }

    /// Logs that the files do not respond, and answers requests that have timed out.
    pub(super) fn time_out_reading(&mut self, now: Duration) {
        if self.on_disk.queue.report_at.is_some_and(|at| at <= now) {
            self.on_disk.queue.report_at = None;
            self.on_disk.hangs = true;
            self.log.warn("reload: still waiting for the configuration files; programs stay supervised");
        }
        for (reply, continues) in self.on_disk.queue.time_out(now) {
            let later = if continues { "; the operation continues once they respond" } else { "" };
            let why = format!("timed out: the configuration files do not respond{later}");
            let content = json!({ "config": self.config_state() });
            reply(refuse_with(WireError::new(Code::Timeout, why), content));
        }
    }

    pub(super) fn reread(&mut self, until: Option<Duration>, reply: Reply) {
        self.reload(&ReloadOf::All, true, false, until, reply);
    }

    pub(super) fn update(&mut self, of: &Targets, wait: bool, until: Option<Duration>, reply: Reply) {
        let of = match of {
            Targets::All => ReloadOf::All,
            Targets::Named { kind, names } => ReloadOf::Named { kind: *kind, names: names.clone() },
        };
        self.reload(&of, false, wait, until, reply);
    }

    /// Adds programs of the configuration that are not supervised yet.
    pub(super) fn add(&mut self, of: &Targets, until: Option<Duration>, reply: Reply) {
        let Targets::Named { kind, names } = of else {
            return reply(refuse(WireError::new(Code::BadArgument, "name the programs to add")));
        };
        self.read_for(Waiting { wanted: ReloadRequest::Add(named(*kind, names)), reply: Some(reply), until });
    }

    fn add_from(&mut self, config: &Config, names: &[String], reply: Reply) {
        let plan = match self.make_plan(config, Scope::Names(names)) {
            Ok(plan) => plan,
            Err(error) => return reply(refuse(error)),
        };
        let added: Vec<&Planned> =
            plan.processes.iter().filter(|planned| matches!(planned.step, ProcessChange::Add { .. })).collect();
        if added.is_empty() {
            let error = WireError::new(Code::AlreadyAdded, format!("already added: {}", names.join(", ")));
            return reply(refuse(error.about(names.join(", "))));
        }
        let is_added = |name: &String| {
            added.iter().any(|planned| match plan.next.processes.get(&planned.name) {
                Some(spec) => [&spec.name, &spec.program, &spec.group, &planned.full_name].contains(&name),
                None => false,
            })
        };
        let there = names.iter().filter(|name| !is_added(name));
        let mut items: Vec<ResultItem> =
            there.map(|name| ResultItem::failed("", name.clone(), Code::AlreadyAdded, "already added")).collect();
        let all: Vec<Planned> = added.into_iter().cloned().collect();
        for planned in all {
            if let Some(spec) = plan.next.processes.get(&planned.name) {
                items.push(ResultItem::done(spec.group.clone(), spec.name.clone()));
                self.config.processes.insert(planned.name.clone(), spec.clone());
                self.config
                    .groups
                    .extend(plan.next.groups.get(&spec.group).map(|group| (spec.group.clone(), group.clone())));
                self.log.info(&format!("config: added {}", planned.full_name));
                self.insert(spec.clone(), matches!(planned.step, ProcessChange::Add { start: true }));
            }
        }
        let single = items.len() == 1;
        reply(RequestAnswer::One(Response::results(items, single)));
    }

    /// Reloads without a waiting client (SIGHUP).
    pub(super) fn reload_all(&mut self) {
        let wanted = ReloadRequest::Reload { of: ReloadOf::All, dry_run: false, wait: false };
        self.read_for(Waiting { wanted, reply: None, until: None });
    }

    fn make_plan(&self, new: &Config, scope: Scope<'_>) -> Result<Plan, WireError> {
        plan(&self.config, new, &self.facts(), scope)
            .map_err(|error| WireError::new(Code::BadName, error.to_string()).about(error.0.join(", ")))
    }

    fn facts(&self) -> BTreeMap<String, Facts> {
        let fact = |proc: &Proc| Facts {
            state: proc.machine.state(),
            restart_pending: proc.machine.next_try(Duration::ZERO).is_some()
                || proc.machine.stopping_why().is_some_and(StopWhy::starts_again),
            gone: proc.run.as_ref().and_then(|run| run.command).is_none_or(crate::io::process::gone),
        };
        self.procs.iter().filter(|(_, proc)| !proc.removing).map(|(name, proc)| (name.clone(), fact(proc))).collect()
    }

    fn carry_out(&mut self, plan: Plan, warnings: &[String], wait: bool, until: Option<Duration>, reply: Reply) {
        // Steps that can fail come first: then nothing is changed.
        let prepared = load::make_folders(&plan.next, self.own.owner).map_err(|lines| lines.join("; "));
        let prepared = prepared.and_then(|()| load::make_usual_folder(&plan.next));
        let prepared = prepared.and_then(|()| self.log.prepare(&plan.next.server));
        let changed = prepared
            .and_then(|prepared| self.clients.listeners.change(&plan.next, plan.unix, plan.inet).map(|()| prepared));
        let log = match changed {
            Ok(log) => log,
            Err(why) => {
                self.log.error(&format!("reload: {why}; nothing was changed"));
                return reply(refuse(WireError::new(Code::CantReread, why)));
            }
        };
        // A dry run reports warnings only to the client; a reload also logs them.
        for warning in warnings {
            self.log.warn(&format!("config: {warning}"));
        }
        let content = summary(&plan, warnings);
        let of = |key: &str| content[key].as_array().map_or(0, Vec::len);
        self.log.info(&format!(
            "reload: {} added, {} removed, {} restarted, {} updated, {} unchanged",
            of("added"),
            of("removed"),
            of("restarted"),
            of("updated"),
            content["unchanged"]
        ));
        for key in &plan.needs_restart {
            self.log.warn(&format!("config: {key} takes effect only after a restart of supervise"));
        }
        let old = std::mem::replace(&mut self.config, plan.next.clone());
        if old.server != self.config.server {
            self.log.change(&self.config.server, log);
        }
        let mut waiter =
            Waiter { content: Some(content.clone()), reply: Some(reply), until, ..Waiter::new(Goal::Settled) };
        let mut steps: Vec<&Planned> = plan.processes.iter().collect();
        // Stops in the order of stops, then the rest in the order of starts.
        steps.sort_by_key(|planned| {
            self.config
                .processes
                .get(&planned.name)
                .map(|spec| (spec.group_priority, spec.policy.priority, spec.name.clone()))
        });
        for planned in &steps {
            if matches!(
                planned.step,
                ProcessChange::Restart
                    | ProcessChange::Replace { start: true }
                    | ProcessChange::Remove(Removal::Stop | Removal::AfterStop)
                    | ProcessChange::Add { start: true }
            ) {
                waiter.pending.insert(planned.name.clone());
            }
        }
        let index = self.clients.waiters.len();
        self.clients.waiters.push(waiter);
        for planned in steps.iter().rev().filter(|planned| matches!(planned.step, ProcessChange::Remove(_))) {
            self.take_away(&planned.name);
        }
        for planned in steps.iter().filter(|planned| !matches!(planned.step, ProcessChange::Remove(_))) {
            self.step(planned, &plan.next);
        }
        for proc in self.procs.values_mut() {
            proc.machine.set_throttle(self.config.server.restart_throttle);
        }
        self.on_disk.stamp.clear();
        self.write_self();
        self.write_stopped();
        self.on_disk.loaded = sys::now().wall.secs();
        self.on_disk.sha256.clone_from(&self.on_disk.read);
        self.clients.notices.push((Notice::Config(content), sys::now().wall.secs()));
        if index < self.clients.waiters.len() {
            let mut waiter = self.clients.waiters.remove(index);
            // Steps that took effect at once are done.
            let settled = |name: &String| {
                self.procs.get(name).is_none_or(|proc| {
                    let state = proc.machine.state();
                    !proc.removing
                        && (state.is_down() || matches!(state, ProcState::Running | ProcState::Backoff))
                        && proc.next.is_none()
                        && !proc.machine.stopping_why().is_some_and(StopWhy::starts_again)
                })
            };
            waiter.pending.retain(|name| !settled(name));
            self.wait(waiter, wait);
        }
    }

    fn step(&mut self, planned: &Planned, next: &Config) {
        let Some(spec) = next.processes.get(&planned.name).cloned() else { return };
        let name = planned.name.clone();
        // If the old process is still on its way out, the new configuration replaces it afterwards.
        if let Some(proc) = self.procs.get_mut(&name).filter(|proc| proc.removing) {
            let start = match planned.step {
                ProcessChange::Add { start } => start,
                _ => proc.after.as_ref().map_or(spec.policy.autostart, |(_, start)| *start),
            };
            proc.after = Some((spec, start));
            return;
        }
        match planned.step {
            ProcessChange::Untouched | ProcessChange::Remove(_) => {}
            ProcessChange::Add { start } => self.insert(spec, start),
            ProcessChange::UpdateHot | ProcessChange::Relabel => {
                let policy = spec.policy.clone();
                match self.procs.get_mut(&name) {
                    // The current run still has an even older configuration.
                    Some(proc) if proc.next.is_some() => {
                        proc.spec.group.clone_from(&spec.group);
                        proc.next = Some(spec);
                    }
                    Some(proc) => proc.spec = spec,
                    None => {}
                }
                let _ = self.feed(&name, Event::Policy(policy));
                self.tell_policy(&name);
            }
            ProcessChange::Restart => {
                let policy = spec.policy.clone();
                if let Some(proc) = self.procs.get_mut(&name) {
                    proc.next = Some(spec);
                }
                let _ = self.feed(&name, Event::Replaced(policy));
            }
            ProcessChange::Replace { .. } => {
                let policy = spec.policy.clone();
                if let Some(proc) = self.procs.get_mut(&name) {
                    proc.spec = spec;
                    proc.next = None;
                }
                let _ = self.feed(&name, Event::Replaced(policy));
            }
            ProcessChange::Store { .. } => {
                let policy = spec.policy.clone();
                if let Some(proc) = self.procs.get_mut(&name) {
                    match proc.machine.state() {
                        ProcState::Stopping => proc.next = Some(spec),
                        _ => proc.spec = spec,
                    }
                }
                let _ = self.feed(&name, Event::Policy(policy));
            }
        }
    }

    /// Checks whether the configuration on disk differs from the current one.
    pub(super) fn look_at_config(&mut self) {
        let Some((stamp, loaded)) = self.on_disk.look() else { return };
        let facts = self.facts();
        let (mut changed, mut unused, mut error) = (BTreeSet::new(), vec![], None);
        match loaded {
            Err(errors) => error = errors.into_iter().next(),
            Ok(new) => {
                if let Ok(plan) = plan(&self.config, &new, &facts, Scope::All) {
                    for planned in plan.processes.iter().filter(|planned| planned.step != ProcessChange::Untouched) {
                        changed.insert(planned.name.clone());
                    }
                }
                for spec in new.processes.values().filter(|spec| !self.procs.contains_key(&spec.name)) {
                    unused.push(json!({
                        "name": spec.full_name(),
                        "group": spec.group,
                        "in_use": false,
                        "autostart": spec.policy.autostart,
                        "group_priority": spec.group_priority,
                        "program_priority": spec.policy.priority,
                        "config_changed": true,
                    }));
                }
            }
        }
        (self.on_disk.changed, self.on_disk.unused, self.on_disk.error) = (changed, unused, error);
        self.on_disk.stamp = stamp;
    }

    pub(super) fn is_changed(&self, name: &str) -> bool {
        self.on_disk.changed.contains(name)
    }

    pub(super) fn unused(&self) -> Vec<Value> {
        self.on_disk.unused.clone()
    }

    pub(super) fn config_state(&self) -> Value {
        let hangs = || "the configuration files do not respond; showing their last known state".to_owned();
        let error = self.on_disk.hangs.then(hangs).or_else(|| self.on_disk.error.clone());
        json!({
            "file": self.config.file,
            "loaded": self.on_disk.loaded,
            "sha256": self.on_disk.sha256,
            "changed": !self.on_disk.changed.is_empty() || !self.on_disk.unused.is_empty(),
            "error": error,
        })
    }
}

/// Returns names in the form of a reload.
fn named(kind: NameKind, names: &[String]) -> Vec<String> {
    let name = |name: &String| match kind {
        NameKind::Group if !name.contains(':') => format!("{name}:*"),
        NameKind::Group | NameKind::Program | NameKind::Process => name.clone(),
    };
    names.iter().map(name).collect()
}

/// Returns the refusal of an invalid configuration.
fn wrong(errors: &[String]) -> WireError {
    let first = errors.first().cloned().unwrap_or_default();
    let more = errors.len().saturating_sub(1);
    let message = if more > 0 { format!("{first} (and {more} more)") } else { first };
    let details = errors.iter().cloned().map(Value::from).collect();
    WireError { details, ..WireError::new(Code::CantReread, message) }
}

fn summary(plan: &Plan, warnings: &[String]) -> Value {
    let mut content = serde_json::to_value(plan.summary()).unwrap_or_default();
    content["warnings"] = warnings.into();
    content["pending"] = plan.pending.clone().into();
    content
}
