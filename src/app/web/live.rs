//! What comes by itself: changes for open pages, and logs as they grow. However many look, what they see is made once.

use std::{cell::Cell, rc::Rc, time::Duration};

use hyper::body::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::{interval, sleep},
};

use super::{
    Site, data,
    routes::{About, processes},
    server::PeerClosed,
};
use crate::{
    app::log,
    io::{logread::LogReader, sys, tail::Growing},
    model::{http::Pieces, web},
};

/// How often it is looked at what runs.
const EVERY: Duration = Duration::from_secs(1);
/// Changes of programs that come closer together are told together.
const TOGETHER: Duration = Duration::from_millis(200);
/// A page to which nothing is to be told hears this often that we are still there.
const ALIVE: Duration = Duration::from_secs(15);
/// The event that tells why there is nothing new.
const STALE: &str = "stale";
/// How often a log is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is looked whether the task of a log has ended.
const LOOK_AT_TASK: Duration = Duration::from_secs(1);
/// Bytes of a task's log that are read at once.
const BLOCK: usize = 64 << 10;
/// Bytes of a line that are shown before it has ended.
const LONGEST_LINE: usize = 64 << 10;

/// What open pages are told, and whether somebody sees to it.
#[derive(Default)]
pub(super) struct Live {
    tasks: NewsSource,
    programs: NewsSource,
}

/// One kind of news: the last of it, as it is sent.
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
    /// Tells what is new, if it is.
    fn tell(&self, event: &str, fragment: &str) {
        let frame = frame(event, fragment);
        self.news.send_if_modified(|last| {
            let changed = *last != frame;
            *last = frame;
            changed
        });
    }

    /// Whether nobody listens any more; nothing is done for them then.
    fn ends(&self) -> bool {
        let ends = self.news.receiver_count() == 0;
        if ends {
            self.news.send_replace(Bytes::new());
            self.works.set(false);
        }
        ends
    }
}

/// One event for pages.
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
                    // What ran goes on, unseen: that nothing runs is not true for that.
                    Ok(snapshot) if was_there && !snapshot.there => {
                        site.live.tasks.tell(STALE, "the database is gone");
                    }
                    Ok(snapshot) => {
                        was_there = snapshot.there;
                        let rows = web::live_rows(&snapshot.running, sys::now().wall.secs());
                        site.live.tasks.tell("tasks", &rows);
                    }
                    // What pages show is of before, which they say then.
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
                    Err(failed) => site.live.programs.tell(STALE, failed.what()),
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

/// Which news a page wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewsFilter {
    All,
    Tasks,
    Programs,
}

/// Tells a page what changes, until it goes away.
pub(super) fn events(site: &Rc<Site>, wanted: NewsFilter, mut left: PeerClosed) -> mpsc::Receiver<Bytes> {
    let (send, receive) = mpsc::channel(1);
    // Where there is nothing to hear, one that nobody speaks on.
    let (silent, _) = watch::channel(Bytes::new());
    let mut tasks = if wanted == NewsFilter::Programs { silent.subscribe() } else { tasks(site) };
    let heard = if wanted == NewsFilter::Tasks { None } else { programs(site) };
    let mut programs = heard.unwrap_or_else(|| silent.subscribe());
    // What is known already is told at once.
    tasks.mark_changed();
    programs.mark_changed();
    tokio::task::spawn_local(async move {
        let mut alive = interval(ALIVE);
        loop {
            let frame = tokio::select! {
                told = tasks.changed() => match told {
                    Ok(()) => tasks.borrow_and_update().clone(),
                    Err(_) => return,
                },
                told = programs.changed() => match told {
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

/// Tells what a program has written and writes, until whoever reads it goes away or the program was removed.
pub(super) fn program_log(mut logs: Vec<Growing>, mut left: PeerClosed) -> mpsc::Receiver<Bytes> {
    let (send, receive) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        let mut pieces = Pieces::default();
        loop {
            // Asked before they are read for the last time.
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

/// Tells what a task has printed and prints, until it has ended. `first` are its last bytes that are told at once.
pub(super) fn task_log(
    site: &Rc<Site>,
    found: data::TaskLogView,
    first: u64,
    mut left: PeerClosed,
) -> mpsc::Receiver<Bytes> {
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
            if let Some(task) = found.live
                && sys::now().mono.saturating_sub(looked) >= LOOK_AT_TASK
            {
                looked = sys::now().mono;
                // Read once more: what it printed last may be newer than what was read.
                over = matches!(site.data.quick(move |desk| desk.lives(task)).await, Ok(false));
            }
        }
    });
    receive
}

/// Lines of a task's log as a page shows them.
#[derive(Default)]
struct ShownLines {
    rest: Vec<u8>,
    /// What was told of a line that has not ended.
    told: String,
    /// Whether what comes first is the end of a line whose beginning is not told.
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
                    text.push_str(&self.more_of(log::plain_line(&line)));
                    text.push('\n');
                }
                self.told.clear();
            }
        }
        text
    }

    /// What is to be told of the line that has not ended yet.
    fn so_far(&mut self) -> String {
        if self.cut || self.rest.is_empty() {
            return String::new();
        }
        self.more_of(log::plain_line(&self.rest))
    }

    /// What makes this line of what was told of it: what it has more; or all of it anew, where a program wrote over what it
    /// had written, and as it would do that.
    fn more_of(&mut self, line: String) -> String {
        let more = match line.strip_prefix(&self.told) {
            Some(more) => more.to_owned(),
            None => format!("\r{line}"),
        };
        self.told = line;
        more
    }

    fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.rest);
        if self.cut || rest.is_empty() { String::new() } else { self.more_of(log::plain_line(&rest)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_told_as_it_grows_and_once() {
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
