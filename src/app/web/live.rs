//! Pushed data: changes for open pages, and logs as they grow. Each update is computed once for all pages.

use std::{cell::Cell, rc::Rc, time::Duration};

use hyper::body::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep},
};

use super::{
    Site, data,
    programs::{About, processes},
    reply::PeerClosed,
};
use crate::{
    app::service::{FoundLog, plain_line},
    io::{logread::LogReader, sys, tail::Growing},
    model::{http::Pieces, web},
};

/// Polling interval of tasks.
const EVERY: Duration = Duration::from_secs(1);
/// Changes of programs within this time are sent together.
const TOGETHER: Duration = Duration::from_millis(200);
/// Interval of keep-alive messages without changes.
const ALIVE: Duration = Duration::from_secs(15);
/// The event with the reason why there are no updates.
const STALE: &str = "stale";
/// Polling interval of a log.
const LOOK: Duration = Duration::from_millis(200);
/// Interval at which the end of a log's task is checked.
const LOOK_AT_TASK: Duration = Duration::from_secs(1);
/// Bytes of a task's log per read.
const BLOCK: usize = 64 << 10;
/// Maximum length of an incomplete line, in bytes.
const LONGEST_LINE: usize = 64 << 10;

/// The sources of updates for open pages.
#[derive(Default)]
pub(super) struct Live {
    tasks: NewsSource,
    programs: NewsSource,
}

/// One kind of updates: the last one, as sent, and whether its producer runs.
struct NewsSource {
    news: watch::Sender<Bytes>,
    works: Cell<bool>,
}

impl Default for NewsSource {
    fn default() -> NewsSource {
        NewsSource { news: watch::Sender::new(Bytes::new()), works: Cell::new(false) }
    }
}

impl NewsSource {
    /// Publishes an update if it differs from the last one.
    fn tell(&self, event: &str, fragment: &str) {
        let frame = frame(event, fragment);
        self.news.send_if_modified(|last| {
            let changed = *last != frame;
            *last = frame;
            changed
        });
    }

    /// Whether no page listens any more. Then the producer ends.
    fn ends(&self) -> bool {
        let ends = self.news.receiver_count() == 0;
        if ends {
            self.news.send_replace(Bytes::new());
            self.works.set(false);
        }
        ends
    }
}

/// Returns a server-sent event.
fn frame(event: &str, data: &str) -> Bytes {
    let lines: String = data.lines().map(|line| format!("data: {line}\n")).collect();
    Bytes::from(format!("event: {event}\n{lines}\n"))
}

fn tasks(site: &Rc<Site>) -> watch::Receiver<Bytes> {
    let heard = site.live.tasks.news.subscribe();
    if !site.live.tasks.works.replace(true) {
        let site = Rc::clone(site);
        tokio::task::spawn_local(async move {
            let mut was_there = false;
            while !site.live.tasks.ends() {
                match site.data.snapshot(data::SHARED).await {
                    // The tasks keep running without the database, so an empty list would be wrong.
                    Ok(snapshot) if was_there && !snapshot.there => {
                        site.live.tasks.tell(STALE, "the database is gone");
                    }
                    Ok(snapshot) => {
                        was_there = snapshot.there;
                        let rows = web::live_rows(&snapshot.running, sys::now().wall.secs());
                        site.live.tasks.tell("tasks", &rows);
                    }
                    // The pages are outdated, and show that.
                    Err(error) => site.live.tasks.tell(STALE, &error.to_string()),
                }
                sleep(EVERY).await;
            }
        });
    }
    heard
}

fn programs(site: &Rc<Site>) -> Option<watch::Receiver<Bytes>> {
    let mut changes = site.subject.programs.as_ref()?.changes();
    let heard = site.live.programs.news.subscribe();
    if !site.live.programs.works.replace(true) {
        let site = Rc::clone(site);
        tokio::task::spawn_local(async move {
            while !site.live.programs.ends() {
                changes.mark_unchanged();
                match processes(&site, None).await {
                    Ok(found) => {
                        let about = About::new(&site, None);
                        site.live.programs.tell("programs", &web::live_programs(&about.info(), &found));
                    }
                    Err(failed) => site.live.programs.tell(STALE, &failed.what),
                }
                sleep(TOGETHER).await;
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { break },
                    () = sleep(ALIVE) => {}
                }
            }
            site.live.programs.works.set(false);
        });
    }
    Some(heard)
}

/// The updates that a page wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewsFilter {
    All,
    Tasks,
    Programs,
}

/// Sends updates to a page until it is closed.
pub(super) fn events(site: &Rc<Site>, wanted: NewsFilter, mut left: PeerClosed) -> mpsc::Receiver<Bytes> {
    let (send, receive) = mpsc::channel(1);
    // A channel without messages, for updates that the page does not want.
    let (silent, _) = watch::channel(Bytes::new());
    let mut tasks = if wanted == NewsFilter::Programs { silent.subscribe() } else { tasks(site) };
    let heard = if wanted == NewsFilter::Tasks { None } else { programs(site) };
    let mut programs = heard.unwrap_or_else(|| silent.subscribe());
    // The current state is sent at once.
    tasks.mark_changed();
    programs.mark_changed();
    tokio::task::spawn_local(async move {
        let mut alive = interval(ALIVE);
        loop {
            let frame = tokio::select! {
                changed = tasks.changed() => match changed {
                    Ok(()) => tasks.borrow_and_update().clone(),
                    Err(_) => return,
                },
                changed = programs.changed() => match changed {
                    Ok(()) => programs.borrow_and_update().clone(),
                    Err(_) => return,
                },
                _ = alive.tick() => Bytes::from_static(b":\n\n"),
                () = send.closed() => return,
                _ = left.wait_for(|left| *left) => return,
            };
            alive.reset();
            if !frame.is_empty() && send.send(frame).await.is_err() {
                return;
            }
            let _ = &silent;
        }
    });
    receive
}

/// Sends the log of a program as it grows, until the client goes away or the program is removed.
pub(super) fn program_log(mut logs: Vec<Growing>, mut left: PeerClosed) -> mpsc::Receiver<Bytes> {
    let (send, receive) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        let mut pieces = Pieces::default();
        loop {
            // Checked before the last read.
            let is_over = !logs.is_empty() && logs.iter().all(Growing::is_over);
            while let Some((bytes, _)) = logs.iter_mut().find_map(Growing::more) {
                let text = pieces.push(&bytes);
                if !text.is_empty() && send.send(Bytes::from(text)).await.is_err() {
                    return;
                }
            }
            if is_over {
                return;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = send.closed() => return,
                _ = left.wait_for(|left| *left) => return,
            }
        }
    });
    receive
}

/// Sends the log of a task as it grows, until the task has ended. `first` is the number of its last bytes to begin
/// with.
pub(super) fn task_log(site: &Rc<Site>, found: FoundLog, first: u64, mut left: PeerClosed) -> mpsc::Receiver<Bytes> {
    let (send, receive) = mpsc::channel(1);
    let site = Rc::clone(site);
    tokio::task::spawn_local(async move {
        let mut reader: Option<(LogReader, u64)> = None;
        let mut lines = ShownLines::default();
        let mut looked = sys::now().mono;
        let mut over = found.live.is_none();
        loop {
            if let Some((log, _)) = &mut reader {
                let _ = log.refresh();
            } else if let Ok(log) = LogReader::open(&found.path) {
                let end = log.end().unwrap_or(0);
                let from = end.saturating_sub(first).max(log.start());
                lines.cut = from > log.start();
                reader = Some((log, from));
            }
            if let Some((log, place)) = &mut reader {
                *place = (*place).max(log.start());
                let mut block = vec![0; BLOCK];
                while let Ok(got @ 1..) = log.read(*place, &mut block) {
                    *place += got as u64;
                    let text = lines.push(block.get(..got).unwrap_or_default());
                    if !text.is_empty() && send.send(Bytes::from(text)).await.is_err() {
                        return;
                    }
                }
            }
            let text = lines.so_far();
            if !text.is_empty() && send.send(Bytes::from(text)).await.is_err() {
                return;
            }
            if over {
                let _ = send.send(Bytes::from(lines.finish())).await;
                return;
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = send.closed() => return,
                _ = left.wait_for(|left| *left) => return,
            }
            if let Some(task) = found.live.as_ref().map(|live| live.task.id)
                && sys::now().mono.saturating_sub(looked) >= LOOK_AT_TASK
            {
                looked = sys::now().mono;
                // One more read follows, because the last output may be newer.
                over = matches!(site.data.quick(move |desk| desk.lives(task)).await, Ok(false));
            }
        }
    });
    receive
}

/// Converts the log of a task to text for a page.
#[derive(Default)]
struct ShownLines {
    rest: Vec<u8>,
    /// The part of the incomplete line that was already sent.
    sent: String,
    /// Whether the input begins in the middle of a line, which is skipped.
    cut: bool,
}

impl ShownLines {
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut text = String::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() > LONGEST_LINE {
                let line = std::mem::take(&mut self.rest);
                if !std::mem::take(&mut self.cut) {
                    text.push_str(&self.more_of(plain_line(&line)));
                    text.push('\n');
                }
                self.sent.clear();
            }
        }
        text
    }

    /// Returns the new text of the incomplete line.
    fn so_far(&mut self) -> String {
        if self.cut || self.rest.is_empty() {
            return String::new();
        }
        self.more_of(plain_line(&self.rest))
    }

    /// Returns the text that completes the sent part to this line. If the program overwrote the line, it is the whole
    /// line after a carriage return.
    fn more_of(&mut self, line: String) -> String {
        let more = match line.strip_prefix(&self.sent) {
            Some(more) => more.to_owned(),
            None => format!("\r{line}"),
        };
        self.sent = line;
        more
    }

    fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.rest);
        if self.cut || rest.is_empty() { String::new() } else { self.more_of(plain_line(&rest)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_growing_line_is_sent_once() {
        let mut lines = ShownLines::default();
        assert_eq!((lines.push(b"one\n1"), lines.so_far()), ("one\n".into(), "1".into()));
        assert_eq!((lines.push(b"0 %"), lines.so_far(), lines.so_far()), (String::new(), "0 %".into(), String::new()));
        assert_eq!((lines.push(b"\r20 %"), lines.so_far()), (String::new(), "\r20 %".into()));
        assert_eq!((lines.push(b" done\ntwo"), lines.finish()), (" done\n".into(), "two".into()));
        let mut lines = ShownLines { cut: true, ..ShownLines::default() };
        assert_eq!((lines.push(b"of a line"), lines.so_far()), (String::new(), String::new()));
        assert_eq!((lines.push(b"\nnext"), lines.so_far()), (String::new(), "next".into()));
    }
}
