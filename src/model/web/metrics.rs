//! Metrics for monitoring: OpenMetrics text, version 1.0.

use std::fmt::{Display, Write};

use super::{LiveTask, MetricFacts};
use crate::model::{
    program::ProcState,
    stats::Summary,
    task::{Class, Status},
    wire::ProcessInfo,
};

/// Returns the text; its content type is `application/openmetrics-text; version=1.0.0;
/// charset=utf-8`.
pub fn metrics(facts: &MetricFacts<'_>) -> String {
    let mut text = Metrics::default();
    let up = "taskwatcher_database_up";
    text.family(up, "gauge", None, "Whether the database can be read; if not, there are no metrics of tasks.");
    text.sample(up, &[], u8::from(facts.tasks.is_some()));
    if let Some((summaries, live)) = facts.tasks {
        tasks(summaries, &mut text);
        running(live, facts.now, &mut text);
    }
    programs(facts.processes, &mut text);
    text.0.push_str("# EOF\n");
    text.0
}

#[derive(Default)]
struct Metrics(String);

impl Metrics {
    /// Begins a family. The name ends with the unit, if there is one.
    fn family(&mut self, name: &str, kind: &str, unit: Option<&str>, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        if let Some(unit) = unit {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// Metrics of ended tasks.
fn tasks(summaries: &[Summary], text: &mut Metrics) {
    text.family("taskwatcher_task_ends", "counter", None, "Tasks in the history, by name and outcome.");
    for one in summaries {
        for (class, number) in Class::ALL.into_iter().zip(one.counts) {
            text.sample("taskwatcher_task_ends_total", &[("name", &one.name), ("outcome", class.as_str())], number);
        }
    }
    let name = "taskwatcher_task_last_success_timestamp_seconds";
    text.family(name, "gauge", Some("seconds"), "Time of the last success of a task with this name.");
    for one in summaries {
        if let Some(at) = one.last_success {
            text.sample(name, &[("name", &one.name)], at);
        }
    }
    let name = "taskwatcher_task_last_failure_timestamp_seconds";
    text.family(name, "gauge", Some("seconds"), "Time of the last failure of a task with this name.");
    for one in summaries {
        if let Some((at, _)) = &one.last_failure {
            text.sample(name, &[("name", &one.name)], at);
        }
    }
    let name = "taskwatcher_task_last_duration_seconds";
    text.family(name, "gauge", Some("seconds"), "Duration of the last task with this name.");
    for one in summaries {
        if let Some((_, Some(secs))) = one.recent.last() {
            text.sample(name, &[("name", &one.name)], secs);
        }
    }
    let name = "taskwatcher_task_duration_seconds";
    text.family(name, "summary", Some("seconds"), "Durations of the tasks with this name.");
    for one in summaries {
        for (quantile, secs) in [("0.5", one.p50), ("0.95", one.p95)] {
            if let Some(secs) = secs {
                text.sample(name, &[("name", &one.name), ("quantile", quantile)], secs);
            }
        }
    }
}

/// Metrics of live tasks.
fn running(running: &[LiveTask], now: i64, text: &mut Metrics) {
    let name = "taskwatcher_tasks";
    text.family(name, "gauge", None, "Tasks that have not ended, by status.");
    for status in Status::ALL {
        let number = running.iter().filter(|task| task.status == status).count();
        text.sample(name, &[("status", status.as_str())], number);
    }
    let mut each = |name: &str, unit: &str, help: &str, value: &dyn Fn(&LiveTask) -> Option<f64>| {
        text.family(name, "gauge", Some(unit), help);
        for live in running {
            if let Some(value) = value(live).filter(|value| value.is_finite()) {
                let id = live.task.id.to_string();
                text.sample(name, &[("task", &id), ("name", &live.task.name)], value);
            }
        }
    };
    each("taskwatcher_task_runtime_seconds", "seconds", "Time that a task has been running.", &|live| {
        Some(now.saturating_sub(live.task.starttime?).max(0) as f64)
    });
    each("taskwatcher_task_heartbeat_age_seconds", "seconds", "Time since the last heartbeat of a task.", &|live| {
        live.silent_for
    });
    each("taskwatcher_task_heartbeat_timeout_seconds", "seconds", "Timeout of a task.", &|live| live.task.timeout);
    each("taskwatcher_task_progress_ratio", "ratio", "Progress of a task, 0 to 1.", &|live| live.progress);
}

fn programs(processes: &[ProcessInfo], text: &mut Metrics) {
    let labels = |process: &ProcessInfo| [process.full_name(), process.group.clone(), process.program.clone()];
    let state = "taskwatcher_program_state";
    text.family(state, "stateset", None, "State of a supervised process.");
    for process in processes {
        let [name, group, program] = labels(process);
        for one in ProcState::ALL {
            let labels = [("process", name.as_str()), ("group", &group), ("program", &program), (state, one.as_str())];
            text.sample(state, &labels, u8::from(process.state == one));
        }
    }
    let name = "taskwatcher_program_uptime_seconds";
    text.family(name, "gauge", Some("seconds"), "Time that a supervised process has been running.");
    for process in processes.iter().filter(|process| process.state.is_live()) {
        text.sample(name, &[("process", &process.full_name())], process.uptime);
    }
    let name = "taskwatcher_program_failed_starts";
    text.family(name, "gauge", None, "Consecutive failed starts of a supervised process.");
    for process in processes {
        text.sample(name, &[("process", &process.full_name())], process.fails);
    }
}
