//! What subscribers are told (6.3): one object for each change of a state, and little else. A slow subscriber loses events
//! and is told how many; it never holds up anybody.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::program::ProcState;

/// The kinds of events that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The state of a process changed.
    State,
    /// The configuration was read again.
    Config,
    /// The supervisor ends.
    Shutdown,
    /// A minute passed.
    Tick,
}

impl EventKind {
    /// All of them.
    pub const ALL: [EventKind; 4] = [EventKind::State, EventKind::Config, EventKind::Shutdown, EventKind::Tick];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::State => "state",
            EventKind::Config => "config",
            EventKind::Shutdown => "shutdown",
            EventKind::Tick => "tick",
        }
    }
}

/// Which events a subscriber wants; by default all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFilter(Vec<EventKind>);

impl Default for EventFilter {
    fn default() -> EventFilter {
        EventFilter(EventKind::ALL.to_vec())
    }
}

impl EventFilter {
    /// Those of these words; none given: all.
    ///
    /// # Errors
    /// The word that is none.
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

    /// Its words.
    pub fn words(&self) -> Vec<&'static str> {
        self.0.iter().map(|kind| kind.as_str()).collect()
    }

    /// Whether it wants these.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.0.contains(&kind)
    }
}

/// A process changed its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateNotice {
    /// The process, with its group unless that is called the same.
    pub name: String,
    /// The state before.
    #[serde(with = "super::state_word")]
    pub from: ProcState,
    /// The state now.
    #[serde(with = "super::state_word")]
    pub to: ProcState,
    /// Process id; 0 if it has none.
    pub pid: i32,
    /// The task of the run that this is about.
    pub task_id: Option<i64>,
    /// What that run exited with, if this is its end.
    pub exit_code: Option<i32>,
    /// The name of the signal that ended it.
    pub exit_signal: Option<String>,
    /// Whether that was expected.
    pub expected: Option<bool>,
    /// Failed starts in a row.
    pub fails: u32,
}

impl StateNotice {
    /// From an event; none if it is one of another kind.
    pub fn from_event(event: &Value) -> Option<StateNotice> {
        let is_state = event.get("event").and_then(Value::as_str) == Some(EventKind::State.as_str());
        is_state.then(|| StateNotice::deserialize(event).ok()).flatten()
    }
}

/// Something that subscribers may be told.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A process changed its state.
    State(StateNotice),
    /// The configuration was read again, with what followed.
    Config(Value),
    /// The supervisor ends.
    Shutdown,
    /// A minute passed.
    Tick,
}

impl Notice {
    /// Its kind.
    pub fn kind(&self) -> EventKind {
        match self {
            Notice::State(_) => EventKind::State,
            Notice::Config(_) => EventKind::Config,
            Notice::Shutdown => EventKind::Shutdown,
            Notice::Tick => EventKind::Tick,
        }
    }

    /// Its object. `time` is in seconds since 1970.
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

/// One subscriber: what it wants, and what it has not read yet.
#[derive(Clone, Debug)]
pub struct Subscriber {
    filter: EventFilter,
    /// Bytes of lines that are kept for it at the most.
    limit: usize,
    lines: VecDeque<String>,
    bytes: usize,
    /// Events that it wanted and did not get.
    dropped: u64,
    /// Of the last event that it wanted, got or not: so a gap is as wide as what is missing.
    serial: u64,
}

impl Subscriber {
    /// With what it wants, and the bytes of lines that are kept for it at the most.
    pub fn new(filter: EventFilter, limit: usize) -> Subscriber {
        Subscriber { filter, limit, lines: VecDeque::new(), bytes: 0, dropped: 0, serial: 0 }
    }

    /// Something happened at `time`, seconds since 1970.
    pub fn offer(&mut self, notice: &Notice, time: i64) {
        if !self.filter.wants(notice.kind()) {
            return;
        }
        self.serial = self.serial.saturating_add(1);
        let line = notice.to_value(time, self.serial).to_string();
        let note = (self.dropped > 0).then(|| dropped(self.dropped));
        let needed = line.len().saturating_add(note.as_ref().map_or(0, String::len));
        // What is too long for an empty queue too is sent all the same: nothing else would come any more.
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

    /// The next line to be written, without its end.
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

/// What a slow subscriber is told of what it lost.
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
    fn an_event_is_an_object_with_the_keys_of_the_specification() {
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
    fn a_subscriber_gets_what_it_wants_and_its_serial_grows_by_one() {
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
        fn what_a_slow_subscriber_loses_is_counted_in_its_place(
            reads in proptest::collection::vec(any::<bool>(), 0..60), limit in 0..400_usize,
        ) {
            let mut subscriber = Subscriber::new(EventFilter::default(), limit);
            let (mut offered, mut next) = (0_u64, 1_u64);
            let mut see = |line: String| {
                let value: Value = serde_json::from_str(&line).unwrap();
                match value["count"].as_u64() {
                    Some(count) => next += count,
                    None => {
                        assert_eq!(value["serial"], json!(next), "no gap that was not told");
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
