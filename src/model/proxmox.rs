//! The task API of Proxmox VE and Proxmox Backup Server: lists and their pages.
//!
//! According to their API viewers: <https://pve.proxmox.com/pve-docs/api-viewer/>,
//! <https://pbs.proxmox.com/docs/api-viewer/>. Nothing here sends requests.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    hash::{BuildHasher, RandomState},
};

use serde::{Deserialize, de};
use serde_json::{Value, json, value::RawValue};

use super::{
    remote::{More, RemoteEnd, RemoteRun, outcome_of, signed_user},
    task::{Outcome, Stored},
    upid::Upid,
};

/// Overlap before a cutoff, in seconds: a host may list a task slightly later than it starts.
const MARGIN: i64 = 300;
/// Overlap once a day, in seconds: a node may report tasks days late.
const WIDE: i64 = 8 * 86_400;
/// Interval of that wide overlap, in seconds.
const WIDE_EVERY: i64 = 86_400;
/// Most restarts of reading a list because it changed meanwhile.
const RESTARTS: u32 = 5;
/// Most consecutive pages without a new entry: either that many tasks ended while one page was
/// read, or the host misbehaves.
const BARREN: u32 = 20;
/// Most tasks read from one node, beyond any realistic number; they take 40 MB of memory.
const MOST: usize = 1_000_000;
/// Longest entry of a list, bytes; an entry with a long reason takes a thousand.
const LONGEST_ENTRY: usize = 64 << 10;
/// Most nodes of a cluster; corosync supports about half of it.
const NODES: usize = 256;
/// Characters kept of an unreadable entry, enough to recognize it.
const LONGEST_UNREAD: usize = 1000;

/// The privilege a token needs to see the tasks of other users.
pub const RIGHT: &str = "Sys.Audit";

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Name.
    pub name: String,
    /// Whether the node can be reached, according to the host that was asked.
    pub online: bool,
}

/// The nodes of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The nodes, without duplicates.
    pub nodes: Vec<ClusterNode>,
    /// Entries that cannot be parsed, and those beyond the limit.
    pub unread: Vec<String>,
}

/// Parses a response to `/nodes`; `None`: invalid.
pub fn cluster(data: &Value) -> Option<Cluster> {
    let is_name = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 255 && name.chars().all(fits)
    };
    let mut cluster = Cluster::default();
    let mut known = HashSet::new();
    for value in data.as_array()? {
        match value["node"].as_str().filter(|name| is_name(name)) {
            Some(name) if known.contains(name) => {}
            Some(name) if cluster.nodes.len() < NODES => {
                known.insert(name);
                // Missing if the token may not see the state.
                let online = value["status"].as_str() != Some("offline");
                cluster.nodes.push(ClusterNode { name: name.to_owned(), online });
            }
            Some(_) | None => cluster.unread.push(unread(value)),
        }
    }
    Some(cluster)
}

/// A page of a list of tasks, unparsed.
#[derive(Debug, Default)]
pub struct List {
    /// The entries as JSON.
    pub entries: Vec<Box<RawValue>>,
    /// Number of entries on all pages.
    pub total: Option<u64>,
}

/// Why a response is not such a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadList {
    /// Not JSON.
    NotJson,
    /// No data.
    NoData,
    /// The data is not a list.
    NoList,
    /// More entries than requested.
    TooMany,
}

/// Parses a page with at most `limit` entries, without parsing the entries.
///
/// # Errors
/// [`BadList`]
pub fn list(body: &[u8], limit: usize) -> Result<List, BadList> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        #[serde(default, borrow)]
        total: Option<&'a RawValue>,
    }
    let page: Page<'_> = serde_json::from_slice(body).map_err(|error| match error.is_data() {
        true => BadList::NoData,
        false => BadList::NotJson,
    })?;
    let data = page.data.ok_or(BadList::NoData)?.get();
    let mut reader = serde_json::Deserializer::from_str(data);
    let entries = de::Deserializer::deserialize_seq(&mut reader, Entries(limit)).map_err(|_| BadList::NoList)?;
    let total = page.total.and_then(|total| serde_json::from_str(total.get()).ok());
    match entries {
        Some(entries) => Ok(List { entries, total }),
        None => Err(BadList::TooMany),
    }
}

/// Deserializes at most this many entries.
struct Entries(usize);

impl<'de> de::Visitor<'de> for Entries {
    type Value = Option<Vec<Box<RawValue>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut taken = vec![];
        while taken.len() < self.0 {
            match entries.next_element()? {
                Some(entry) => taken.push(entry),
                None => return Ok(Some(taken)),
            }
        }
        let mut more = false;
        while entries.next_element::<de::IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok((!more).then_some(taken))
    }
}

/// Parses an entry of a page: returns its key, and the task, or a text if it cannot be parsed.
/// `node` is the node of a cluster whose list this is; an entry whose UPID names another node keeps
/// `node` as `via`.
pub fn listed(entry: &RawValue, node: Option<&str>) -> (String, Result<TaskEntry, String>) {
    let text = entry.get();
    let short = || text.chars().take(LONGEST_UNREAD).collect::<String>();
    if text.len() > LONGEST_ENTRY {
        return (short(), Err(short()));
    }
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let key = value["upid"].as_str().map_or_else(|| unread(&value), str::to_owned);
    let entry = self::entry(&value).map(|entry| match node {
        Some(node) => entry.listed_by(node),
        None => entry,
    });
    (key, entry.ok_or_else(|| unread(&value)))
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEntry {
    /// A live task.
    Running(RemoteRun),
    /// An ended task.
    Ended(RemoteEnd),
}

impl TaskEntry {
    /// Records the node that listed the task, unless its UPID names that node.
    fn listed_by(self, node: &str) -> TaskEntry {
        match self {
            TaskEntry::Running(run) => match run.upid {
                Stored::Value(ref upid) if upid.node() != node => TaskEntry::Running(running(upid, Some(node))),
                Stored::Value(_) | Stored::Text(_) => TaskEntry::Running(run),
            },
            TaskEntry::Ended(mut end) => {
                end.more.via = Some(node).filter(|node| end.upid.node() != *node).map(str::to_owned);
                TaskEntry::Ended(end)
            }
        }
    }
}

/// Parses a number, which some Proxmox programs write as a string.
fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Parses an outcome. PVE writes "unexpected status" for a log without an end, and counts it as
/// unknown: the host was switched off.
fn outcome(text: &str) -> Outcome {
    match text {
        "unexpected status" => Outcome::Unknown(text.to_owned()),
        other => outcome_of(other),
    }
}

/// Parses an entry of a list of tasks; `None`: invalid.
pub fn entry(value: &Value) -> Option<TaskEntry> {
    let upid: Upid = value["upid"].as_str()?.parse().ok()?;
    if upid.remote().is_some() {
        return None;
    }
    match &value["endtime"] {
        Value::Null => Some(TaskEntry::Running(running(&upid, None))),
        endtime => {
            let endtime = number(endtime).filter(|endtime| *endtime >= 0)?;
            let outcome = match &value["status"] {
                Value::String(text) => outcome(text),
                Value::Null => Outcome::Unknown(String::new()),
                _ => return None,
            };
            Some(TaskEntry::Ended(RemoteEnd { upid, endtime, outcome, more: More::default() }))
        }
    }
}

/// Returns an unreadable entry as text, always the same although PVE changes the order of the
/// fields.
pub fn unread(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string().chars().take(LONGEST_UNREAD).collect()
}

/// Returns a task known only to be live, with the node that reports it if its UPID names another
/// one.
pub fn running(upid: &Upid, via: Option<&str>) -> RemoteRun {
    let mut detail = json!({
        "name": upid.worker_type(),
        "taskname": upid.worker_type(),
        "status": "RUNNING",
        "starttime": upid.starttime,
        "upid": upid.as_str(),
        "host": upid.node(),
        "id": upid.id(),
        "user": signed_user(upid),
    });
    if let Some(via) = via {
        detail["via"] = via.into();
    }
    RemoteRun { upid: upid.clone().into(), start: upid.starttime, detail: detail.to_string() }
}

/// The response of `/tasks/{upid}/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteStatus {
    /// Live.
    Running,
    /// Ended.
    Stopped(Outcome),
}

/// Parses such a response; `None`: invalid.
pub fn status(data: &Value) -> Option<RemoteStatus> {
    match (data["status"].as_str()?, data["exitstatus"].as_str()) {
        ("running", _) => Some(RemoteStatus::Running),
        ("stopped", Some(text)) => Some(RemoteStatus::Stopped(outcome(text))),
        ("stopped", None) => Some(RemoteStatus::Stopped(Outcome::Unknown(String::new()))),
        _ => None,
    }
}

/// Returns the earliest start to request from a node so that no task is missed; `None`: all tasks.
pub fn since(cutoff: Option<i64>, wide: bool) -> Option<i64> {
    let back = if wide { WIDE } else { MARGIN };
    cutoff.map(|cutoff| cutoff.saturating_sub(back)).filter(|since| *since > 0)
}

/// Whether to use the wide overlap: once a day.
pub fn is_wide(last: Option<i64>, now: i64) -> bool {
    // A clock that was set back must not prevent it.
    last.is_none_or(|last| now.saturating_sub(last) >= WIDE_EVERY || last > now)
}

/// Summary of a complete response of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageSummary {
    /// Newest start.
    pub newest: Option<i64>,
    /// Oldest start of a live task.
    pub oldest_running: Option<i64>,
}

impl PageSummary {
    /// Adds a task.
    pub fn task(&mut self, start: i64, runs: bool) {
        self.newest = self.newest.max(Some(start));
        if runs {
            self.oldest_running = Some(self.oldest_running.map_or(start, |oldest| oldest.min(start)));
        }
    }

    /// Returns the next cutoff: all tasks that started before it have ended and are known. It is a
    /// time of the node's own clock, so differences between clocks do no harm; but a start in the
    /// future must not hide tasks that start until then.
    pub fn cutoff(&self, before: Option<i64>, now: i64) -> Option<i64> {
        let newest = before.max(self.newest.map(|newest| newest.min(now)));
        match (newest, self.oldest_running) {
            (Some(newest), Some(oldest)) => Some(newest.min(oldest)),
            (newest, _) => newest,
        }
    }
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPage {
    /// Request the next page.
    Next,
    /// The list is complete.
    Done,
    /// The list cannot be read to its end.
    Broken(&'static str),
}

/// Reads a list page by page while tasks are added to it and removed.
///
/// Each page begins with the last entry of the previous one. Added entries are in front and move
/// the others back: the page then begins with an entry that is known anyway, and nothing is missed.
/// If a page begins with an unknown entry, entries were removed, and the list is read again from
/// its beginning.
#[derive(Debug)]
pub struct Paging {
    limit: usize,
    start: usize,
    /// Hash of each entry's key (to save memory), and the round in which it was last read. Only the
    /// entries of the current round are known to have no gap between them.
    known: HashMap<u64, u32>,
    hasher: RandomState,
    /// Number of entries read in this round.
    round: usize,
    restarts: u32,
    barren: u32,
}

impl Paging {
    /// Starts with pages of `limit` entries, at least two.
    pub fn new(limit: usize) -> Paging {
        let (known, hasher) = (HashMap::new(), RandomState::new());
        Paging { limit: limit.max(2), start: 0, known, hasher, round: 0, restarts: 0, barren: 0 }
    }

    /// Entries per page.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Halves the size of the next pages, because a page was too long; returns false if it is
    /// already minimal.
    pub fn halve(&mut self) -> bool {
        let less = (self.limit / 2).max(2);
        std::mem::replace(&mut self.limit, less) > less
    }

    /// Offset of the next page.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Whether the entry with this key was read.
    pub fn has(&self, key: &str) -> bool {
        self.known.contains_key(&self.hasher.hash_one(key))
    }

    /// Adds a page: the keys of its entries, and the total number according to the host.
    pub fn take(&mut self, keys: &[&str], total: Option<u64>) -> NextPage {
        let hashes: Vec<u64> = keys.iter().map(|key| self.hasher.hash_one(key)).collect();
        let is_read = |hash: &u64| self.known.get(hash) == Some(&self.restarts);
        let missed = self.start > 0 && hashes.first().is_none_or(|first| !is_read(first));
        if missed {
            for hash in hashes {
                self.known.entry(hash).or_insert(self.restarts);
            }
            self.start = 0;
            self.round = 0;
            self.restarts += 1;
            return match self.restarts > RESTARTS {
                true => NextPage::Broken("the list of tasks changes faster than it can be read"),
                false => NextPage::Next,
            };
        }
        let before = self.round;
        for hash in hashes {
            if self.known.insert(hash, self.restarts) != Some(self.restarts) {
                self.round += 1;
            }
        }
        let fresh = self.round > before;
        let end = self.start + keys.len();
        let short = keys.len() < self.limit;
        let all = total.is_none_or(|total| end as u64 >= total);
        if keys.is_empty() {
            return if all {
                NextPage::Done
            } else {
                NextPage::Broken("the list of tasks is empty although its total is not 0")
            };
        }
        // A host may return fewer entries than requested and still have more. Only the last entry
        // is followed by nothing but itself.
        if (short && total.is_some() && all) || (keys.len() == 1 && !fresh) {
            return NextPage::Done;
        }
        self.barren = if fresh { 0 } else { self.barren + 1 };
        if self.barren > BARREN || self.known.len() > MOST {
            return NextPage::Broken("the list of tasks does not end");
        }
        self.start = end - 1;
        NextPage::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_of_both_products_are_parsed() {
        let pve = json!({ "upid": "UPID:n1:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:", "endtime": 1_636_572_000,
                          "status": "job errors", "type": "vzdump" });
        let Some(TaskEntry::Ended(end)) = entry(&pve) else { panic!() };
        assert_eq!((end.endtime, end.outcome), (1_636_572_000, Outcome::Error("job errors".into())));
        let pbs = json!({ "upid": "UPID:pbs:000002B2:00000158:00000000:674D828C:logrotate::root@pam:" });
        let Some(TaskEntry::Running(run)) = entry(&pbs) else { panic!() };
        assert_eq!(run.start, 0x674D_828C);
        // PVE reports RUNNING for a live task, and has numbers as strings where a script assembled
        // them.
        assert!(matches!(entry(&json!({ "upid": pve["upid"], "status": "RUNNING" })), Some(TaskEntry::Running(_))));
        assert!(
            matches!(entry(&json!({ "upid": pve["upid"], "endtime": "7" })), Some(TaskEntry::Ended(end)) if end.endtime == 7)
        );
        for value in [
            json!(null),
            json!([]),
            json!({}),
            json!({ "upid": 1 }),
            json!({ "upid": "UPID:x" }),
            json!({ "upid": pve["upid"], "endtime": "soon" }),
            json!({ "upid": pve["upid"], "endtime": -1 }),
            json!({ "upid": pve["upid"], "endtime": 1, "status": [] }),
            json!({ "upid": format!("r!{}", pve["upid"].as_str().unwrap()) }),
        ] {
            assert_eq!(entry(&value), None, "{value}");
        }
    }

    #[test]
    fn responses_about_nodes_and_one_task_are_parsed() {
        let nodes = json!([{ "node": "a", "status": "online" }, { "node": "b", "status": "offline" }, { "node": "c" }]);
        let online: Vec<bool> = cluster(&nodes).unwrap().nodes.iter().map(|node| node.online).collect();
        assert_eq!(online, [true, false, true]);
        assert_eq!((cluster(&json!(null)), cluster(&json!({}))), (None, None));
        for bad in [json!({}), json!({ "node": 1 }), json!({ "node": "" }), json!({ "node": ".." }), json!("a")] {
            let read = cluster(&json!([{ "node": "a" }, bad, { "node": "b" }, { "node": "a" }])).unwrap();
            let names: Vec<&str> = read.nodes.iter().map(|node| node.name.as_str()).collect();
            assert_eq!(
                (names, read.unread),
                (vec!["a", "b"], vec![bad.to_string()]),
                "each once, and the invalid entry"
            );
        }
        let many: Vec<Value> = (0..NODES + 3).map(|n| json!({ "node": format!("n{n}") })).collect();
        let read = cluster(&Value::from(many)).unwrap();
        assert_eq!((read.nodes.len(), read.unread.len()), (NODES, 3));
        assert_eq!(status(&json!({ "status": "running" })), Some(RemoteStatus::Running));
        assert_eq!(
            status(&json!({ "status": "stopped", "exitstatus": "OK" })),
            Some(RemoteStatus::Stopped(Outcome::Ok))
        );
        assert_eq!(
            status(&json!({ "status": "stopped" })),
            Some(RemoteStatus::Stopped(Outcome::Unknown(String::new())))
        );
        assert_eq!(status(&json!({ "status": "gone" })), None);
        // PVE itself also counts a log without an end as unknown.
        let cut = Outcome::Unknown("unexpected status".into());
        let stopped = json!({ "status": "stopped", "exitstatus": "unexpected status" });
        assert_eq!(status(&stopped), Some(RemoteStatus::Stopped(cut.clone())));
        let listed = json!({ "upid": "UPID:n1:000AE992:00A21BA7:618C1D55:vzdump:100:root@pam:", "endtime": 1_636_572_000,
                             "status": "unexpected status" });
        assert!(matches!(entry(&listed), Some(TaskEntry::Ended(end)) if end.outcome == cut));
    }

    #[test]
    fn a_page_is_read_without_making_values_of_it() {
        let read = |text: &str| list(text.as_bytes(), 2).map(|list| (list.entries.len(), list.total));
        assert_eq!(read(r#"{"data":[{"upid":"x"},7],"total":9}"#), Ok((2, Some(9))));
        assert_eq!(read(r#"{"total":"many","data":[]}"#), Ok((0, None)));
        assert_eq!(read(r#"{"data":[1,2,3]}"#), Err(BadList::TooMany));
        for text in ["", "{", "{\"data\":[", "\u{fffd}", "<html>"] {
            assert_eq!(read(text), Err(BadList::NotJson), "{text}");
        }
        for text in ["[]", "7", "{}"] {
            assert_eq!(read(text), Err(BadList::NoData), "{text}");
        }
        assert_eq!(read(r#"{"data":{}}"#), Err(BadList::NoList));
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        assert_eq!(listed(&raw(r#"{"b":1,"a":2}"#), None), (r#"{"a":2,"b":1}"#.into(), Err(r#"{"a":2,"b":1}"#.into())));
        let long = format!("[{}]", ["1"; LONGEST_ENTRY].join(","));
        assert_eq!(listed(&raw(&long), None).0.len(), LONGEST_UNREAD);
    }

    #[test]
    fn a_cutoff_waits_for_live_tasks_and_is_never_in_the_future() {
        let seen = |tasks: &[(i64, bool)]| {
            let mut seen = PageSummary::default();
            tasks.iter().for_each(|(start, runs)| seen.task(*start, *runs));
            seen
        };
        assert_eq!(seen(&[]).cutoff(None, 1000), None);
        assert_eq!(seen(&[]).cutoff(Some(500), 1000), Some(500));
        assert_eq!(seen(&[(600, false), (550, false)]).cutoff(Some(500), 1000), Some(600));
        assert_eq!(seen(&[(600, false), (550, true)]).cutoff(Some(500), 1000), Some(550));
        assert_eq!(seen(&[(600, false), (100, true)]).cutoff(Some(500), 1000), Some(100));
        // From a clock that is ahead.
        assert_eq!(seen(&[(9000, false)]).cutoff(Some(500), 1000), Some(1000));
        assert_eq!(seen(&[(9000, true)]).cutoff(None, 1000), Some(1000));
        // Old tasks reported late do not move it back.
        assert_eq!(seen(&[(10, false)]).cutoff(Some(500), 1000), Some(500));
    }

    #[test]
    fn the_overlap_is_wide_once_a_day() {
        assert_eq!(since(None, false), None);
        assert_eq!(since(Some(1_000_000), false), Some(999_700));
        assert_eq!(since(Some(1_000_000), true), Some(1_000_000 - WIDE));
        assert_eq!(since(Some(100), false), None);
        assert!(is_wide(None, 0) && is_wide(Some(0), WIDE_EVERY) && is_wide(Some(10), 5));
        assert!(!is_wide(Some(0), WIDE_EVERY - 1));
    }

    #[test]
    fn a_list_without_an_end_is_an_error() {
        let mut same = Paging::new(2);
        let steps: Vec<NextPage> = (0..100).map(|_| same.take(&["a", "b"], Some(1000))).collect();
        assert!(matches!(steps.last(), Some(NextPage::Broken(_))), "always the same page");
        let mut other = Paging::new(2);
        let steps: Vec<NextPage> = (0..100).map(|n| other.take(&[&format!("{n}"), &format!("{n}x")], None)).collect();
        assert!(matches!(steps.last(), Some(NextPage::Broken(_))), "always another list");
        assert!(matches!(Paging::new(2).take(&[], Some(5)), NextPage::Broken(_)), "tasks that are not there");
        assert_eq!(Paging::new(2).take(&[], Some(0)), NextPage::Done);
        assert_eq!(Paging::new(2).take(&[], None), NextPage::Done);
    }

    proptest! {
        /// All entries that are in the list when its reading begins are read, whatever is added in
        /// front meanwhile, however few entries the host returns per page, and whether or not it
        /// reports a total.
        #[test]
        fn no_entry_of_a_growing_list_is_missed(
            size in 0usize..60, limit in 2usize..9, cap in 2usize..9, counts: bool,
            grows in proptest::collection::vec(0usize..4, 200),
        ) {
            let mut list: Vec<String> = (0..size).map(|n| format!("old{n}")).collect();
            let mut paging = Paging::new(limit);
            let mut done = false;
            for (turn, more) in grows.into_iter().enumerate() {
                let start = paging.start().min(list.len());
                let page: Vec<&str> =
                    list[start..].iter().take(paging.limit().min(cap)).map(String::as_str).collect();
                match paging.take(&page, counts.then_some(list.len() as u64)) {
                    NextPage::Done => { done = true; break }
                    NextPage::Next => {}
                    NextPage::Broken(why) => prop_assert!(false, "{}", why),
                }
                // The list stops growing at some time.
                if turn < 6 {
                    for n in 0..more {
                        list.insert(0, format!("new{turn}.{n}"));
                    }
                }
            }
            prop_assert!(done);
            for n in 0..size {
                let task = format!("old{n}");
                prop_assert!(paging.has(&task), "{}", task);
            }
        }

        /// Removed entries move the others forward: all of them are still read.
        #[test]
        fn no_entry_of_a_shrinking_list_is_missed(
            size in 1usize..60, limit in 2usize..9, leaves in proptest::collection::vec(0usize..3, 4),
        ) {
            let mut list: Vec<String> = (0..size).map(|n| format!("old{n}")).collect();
            let mut paging = Paging::new(limit);
            let mut leaves = leaves.into_iter();
            loop {
                let start = paging.start().min(list.len());
                let page: Vec<&str> = list[start..].iter().take(limit).map(String::as_str).collect();
                match paging.take(&page, Some(list.len() as u64)) {
                    NextPage::Done => break,
                    NextPage::Next => {}
                    NextPage::Broken(why) => prop_assert!(false, "{}", why),
                }
                list.drain(..leaves.next().unwrap_or(0).min(list.len()));
            }
            for task in &list {
                prop_assert!(paging.has(task), "{}", task);
            }
        }
    }
}
