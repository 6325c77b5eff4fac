//! Events for subscribers: mainly one object per change of a state. A slow subscriber loses events
//! and gets their number; it never delays anything else.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::program::ProcState;

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The state of a process changed.
    State,
    /// The configuration was reloaded.
    Config,
    /// The supervisor is shutting down.
    Shutdown,
    /// A minute passed.
    Tick,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [EventKind; 4] = [EventKind::State, EventKind::Config, EventKind::Shutdown, EventKind::Tick];

    /// Text in the protocol.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::State => "state",
            EventKind::Config => "config",
            EventKind::Shutdown => "shutdown",
            EventKind::Tick => "tick",
        }
    }
}

/// The kinds of events a subscriber wants; by default all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter(Vec<EventKind>);

impl Default for EventFilter {
    fn default() -> EventFilter {
        EventFilter(EventKind::ALL.to_vec())
    }
}

impl EventFilter {
    /// Parses the kinds; an empty list means all.
    ///
    /// # Errors
    /// The unknown word.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<EventFilter, &'a str> {
        let mut wanted = Vec::new();
        for word in words {
            wanted.push(EventKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(word)?);
        }
        if wanted.is_empty() {
            return Ok(EventFilter::default());
        }
        Ok(EventFilter(EventKind::ALL.into_iter().filter(|kind| wanted.contains(kind)).collect()))
    }

    /// The kinds as text.
    pub fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|kind| kind.as_str()).collect()
    }

    /// Whether events of this kind are wanted.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.0.contains(&kind)
    }
}

/// A change of a process's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateNotice {
    /// Name of the process, prefixed with the group unless both are equal.
    pub name: String,
    /// The previous state.
    #[serde(with = "super::state_word")]
    pub from: ProcState,
    /// The new state.
    #[serde(with = "super::state_word")]
    pub to: ProcState,
    /// Pid; 0 if none.
    pub pid: i32,
    /// Task of the run concerned.
    pub task_id: Option<i64>,
    /// Exit code of that run, if this is its end.
    pub exit_code: Option<i32>,
    /// Name of the signal that killed it.
    pub exit_signal: Option<String>,
    /// Whether its end was expected.
    pub expected: Option<bool>,
    /// Number of consecutive failed starts.
    pub fails: u32,
}

impl StateNotice {
    /// Parses an event; `None` if it is of another kind.
    pub fn from_event(event: &Value) -> Option<StateNotice> {
        let is_state = event.get("event").and_then(Value::as_str) == Some(EventKind::State.as_str());
        is_state.then(|| StateNotice::deserialize(event).ok()).flatten()
    }
}

/// An event for subscribers.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A process changed its state.
    State(StateNotice),
    /// The configuration was reloaded, with the changes.
    Config(Value),
    /// The supervisor is shutting down.
    Shutdown,
    /// A minute passed.
    Tick,
}

impl Notice {
    /// Kind of the event.
    pub fn kind(&self) -> EventKind {
        match self {
            Notice::State(_) => EventKind::State,
            Notice::Config(_) => EventKind::Config,
            Notice::Shutdown => EventKind::Shutdown,
            Notice::Tick => EventKind::Tick,
        }
    }

    /// The event as an object. `time` is in unix seconds.
    pub fn to_value(&self, time: i64, serial: u64) -> Value {
        let mut value = json!({"event": self.kind().as_str()});
        let more = match self {
            Notice::State(state) => serde_json::to_value(state).unwrap_or_default(),
            Notice::Config(what) => json!({"content": what}),
            Notice::Shutdown | Notice::Tick => Value::Null,
        };
        if let (Value::Object(map), Value::Object(more)) = (&mut value, more) {
            map.extend(more);
        }
        if let Value::Object(map) = &mut value {
            map.insert("time".into(), time.into());
            map.insert("serial".into(), serial.into());
        }
        value
    }
}

/// One subscriber: its filter, and its unread events.
#[derive(Clone, Debug)]
pub struct Subscriber {
    filter: EventFilter,
    /// Most bytes of queued lines.
    limit: usize,
    lines: VecDeque<String>,
    bytes: usize,
    /// Number of wanted events that were dropped.
    dropped: u64,
    /// Serial of the last wanted event, delivered or not: a gap in the serials is as wide as what
    /// was dropped.
    serial: u64,
}

impl Subscriber {
    /// Makes a subscriber that queues at most `limit` bytes of lines.
    pub fn new(filter: EventFilter, limit: usize) -> Subscriber {
        Subscriber { filter, limit, lines: VecDeque::new(), bytes: 0, dropped: 0, serial: 0 }
    }

    /// Queues an event that happened at `time`, unix seconds, if it is wanted.
    pub fn offer(&mut self, notice: &Notice, time: i64) {
        if !self.filter.wants(notice.kind()) {
            return;
        }
        self.serial = self.serial.saturating_add(1);
        let line = notice.to_value(time, self.serial).to_string();
        let note = (self.dropped > 0).then(|| dropped(self.dropped));
        let needed = line.len().saturating_add(note.as_ref().map_or(0, String::len));
        // A line that exceeds the limit by itself is sent too: otherwise no event would ever
        // follow.
        if !self.lines.is_empty() && self.bytes.saturating_add(needed) > self.limit {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if let Some(note) = note {
            self.dropped = 0;
            self.keep(note);
        }
        self.keep(line);
    }

    /// Removes and returns the next line to write, without its end.
    pub fn take(&mut self) -> Option<String> {
        match self.lines.pop_front() {
            Some(line) => {
                self.bytes = self.bytes.saturating_sub(line.len());
                Some(line)
            }
            None if self.dropped > 0 => Some(dropped(std::mem::take(&mut self.dropped))),
            None => None,
        }
    }

    fn keep(&mut self, line: String) {
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push_back(line);
    }
}

/// The line about dropped events.
fn dropped(count: u64) -> String {
    json!({"event": "dropped", "count": count}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> Notice {
        Notice::State(StateNotice {
            name: "web".into(),
            from: ProcState::Running,
            to: ProcState::Exited,
            pid: 7,
            task_id: Some(12),
            exit_code: Some(1),
            exit_signal: None,
            expected: Some(false),
            fails: 0,
        })
    }

    #[test]
    fn an_event_is_an_object_with_the_documented_keys() {
        let line = r#"{"event":"state","name":"web","from":"RUNNING","to":"EXITED","pid":7,"task_id":12,"exit_code":1,"exit_signal":null,"expected":false,"fails":0,"time":100,"serial":3}"#;
        assert_eq!(state().to_value(100, 3).to_string(), line);
        assert_eq!(Notice::Tick.to_value(100, 4).to_string(), r#"{"event":"tick","time":100,"serial":4}"#);
        let read = StateNotice::from_event(&state().to_value(100, 3));
        assert_eq!(read.map(Notice::State), Some(state()));
        assert_eq!(StateNotice::from_event(&Notice::Tick.to_value(100, 4)), None);
        let config = Notice::Config(json!({"added": ["x"]})).to_value(1, 1);
        assert_eq!((&config["event"], &config["content"]["added"][0]), (&json!("config"), &json!("x")));
    }

    #[test]
    fn a_subscriber_gets_wanted_events_with_consecutive_serials() {
        let mut subscriber = Subscriber::new(EventFilter::of(["state"]).unwrap(), 10_000);
        for notice in [state(), Notice::Tick, state(), Notice::Shutdown] {
            subscriber.offer(&notice, 5);
        }
        let serials: Vec<Value> = std::iter::from_fn(|| subscriber.take())
            .map(|line| serde_json::from_str::<Value>(&line).unwrap()["serial"].clone())
            .collect();
        assert_eq!(serials, [json!(1), json!(2)]);
    }

    #[test]
    fn filters_are_words_of_a_closed_list() {
        assert_eq!(EventFilter::of(["tick", "state", "tick"]).unwrap().words(), ["state", "tick"]);
        assert_eq!(EventFilter::of([]).unwrap(), EventFilter::default());
        assert_eq!(EventFilter::of(["tick", "dropped"]), Err("dropped"));
    }

    proptest! {
        #[test]
        fn events_that_a_slow_subscriber_loses_are_counted_in_their_place(
            reads in proptest::collection::vec(any::<bool>(), 0..60), limit in 0..400_usize,
        ) {
            let mut subscriber = Subscriber::new(EventFilter::default(), limit);
            let (mut offered, mut next) = (0_u64, 1_u64);
            let mut see = |line: String| {
                let value: Value = serde_json::from_str(&line).unwrap();
                match value["count"].as_u64() {
                    Some(count) => next += count,
                    None => {
                        assert_eq!(value["serial"], json!(next), "each gap is reported");
                        next += 1;
                    }
                }
            };
            for read in reads {
                if read {
                    subscriber.take().into_iter().for_each(&mut see);
                } else {
                    subscriber.offer(&Notice::Tick, 5);
                    offered += 1;
                }
                prop_assert!(subscriber.bytes <= limit.max(100));
            }
            while let Some(line) = subscriber.take() {
                see(line);
            }
            prop_assert_eq!(next, offered + 1);
        }
    }
}
