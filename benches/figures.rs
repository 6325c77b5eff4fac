//! Measures all figures of `docs/benchmarks.md` about speed and memory in one run, beside other programs that
//! do the same work.
//!
//! ```text
//! cargo bench --bench figures                        all figures, in about three minutes
//! cargo bench --bench figures -- start rate          some figures
//! cargo bench --bench figures -- --quick             few runs and small data, in 20 s: a smoke test
//! cargo bench --bench figures -- --programs DIR      the programs of DIR instead of those just built
//! ```
//!
//! Prints one Markdown table and the number of rows that hold. A figure that does not hold is not
//! an error, so that a busy machine cannot fail a build; a figure that could not be measured is
//! one. Run it on an idle machine.
//!
//! # Methods
//!
//! All times are medians of whole processes, from before the start to after the wait. Competitors
//! run alternately in the same loop, so that noise affects all alike. Results are verified: every
//! run is in the history, every row in the list.
//!
//! | name | figure |
//! |---|---|
//! | `start` | `launch -- true` on a new database on the disk, as a multiple of a C program that only forks, execs and waits, started fresh each time, dynamically linked as a user would link it. `launch` guarantees that both the start and the end survive a power loss; "two fdatasync alone" is the time of two such writes on this disk. |
//! | `rate` | rounds of launches, eight at a time, alternating with rounds of the wrapper by the same eight threads. |
//! | `visible` | from the wall-clock time that a command writes as its last action until a reader that polls the database without pause sees the row; for commands that end immediately and for some that ran over a second. |
//! | `memory` | PSS (`/proc/PID/smaps_rollup`) of all launcher processes once they are idle, divided by their number, without the commands. |
//! | `wakeups` | how often the threads of a launcher were switched off a processor (both counters of `/proc/PID/status`) during 16 s. |
//! | `list` | the row of a real, running task copied 10,000 times, each with a live process that acts as its launcher (`benches/crowd.c`) and holds its lock. Output to a file. |
//! | `history` | rows of real tasks copied until 1,000,000 cover a year, kept in Cargo's `tmp` folder inside `target` for the next run. Deep pages start from a cursor printed by the program. The row is the slowest of the pages listed below the table; filters without a target are listed there too. |
//! | `parse` | whole runs over a file in the page cache. |
//! | `logged` | `launch -- true` with its log and with `--no-log`, alternately, on new databases. |
//! | `lines`, `one-line` | `benches/lines.c` through `launch` into a file, with the default limit of 64 MB for the log, alternating with `tee LOG > FILE`, which stores everything twice; `ts` gets a part of it. |
//! | `tail` | whole runs on a log of the default maximum size, in the page cache. |
//! | `remotes` | 1,500,000 ended tasks of 100 remotes with 10 nodes each, over 7 days, and 200 live ones: generated, always the same, and added in the order of arrival, two hours of one remote after the other. Times are those of library calls, except for the fresh process. For comparison, the same rows in one SQLite table of texts with an index of start times. |
//! | `supervise` | The same programs under `supervise` and under supervisord, alternately, with `startsecs` 0 and default logs. Many starts are requested over the sockets of both daemons, and the ends are read from their logs; a single start, and the status, are whole runs of the clients. Memory is PSS and wake-ups are context switches, both of the daemon and all its launchers with all their threads. |
//! | `web` | pages read over a socket to the last byte, each on a new connection: pages of the history of `history` from `supervise web`, the page of 100 programs from their supervisor. Live pages are open connections whose events are read as they arrive; the CPU share is that of all threads of the supervisor. |
//!
//! # The peers
//!
//! The peers are searched on the `PATH` and reported as missing if not found; on Debian: `apt-get
//! install task-spooler nq s6 moreutils`. taskwatcher 1.7 takes part if `TASKWATCHER17_PYTHON` is
//! the path of a Python that has it (`pip install taskwatcher==1.7 psutil`). `SUPERVISOR_PYTHON` is
//! the path of the Python that has supervisord and supervisorctl, if these are not on the `PATH`
//! (`pip install supervisor==4.3.0`).
#![expect(clippy::disallowed_methods, reason = "real time is measured, and other processes are waited for")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is the table")]

#[path = "figures/feedback.rs"]
mod feedback;
#[path = "figures/idle.rs"]
mod idle;
#[path = "figures/listings.rs"]
mod listings;
#[path = "figures/logs.rs"]
mod logs;
#[path = "figures/remotes.rs"]
mod remotes;
#[path = "figures/report.rs"]
mod report;
#[path = "figures/starts.rs"]
mod starts;
#[path = "figures/supervise.rs"]
mod supervise;
#[path = "figures/web.rs"]
mod web;
#[path = "figures/workshop.rs"]
mod workshop;

use clap::{Parser, ValueEnum};
use report::{Result, Row};
use std::path::PathBuf;
use std::process::ExitCode;
use workshop::Workshop;

/// Measures the figures of `docs/benchmarks.md`.
#[derive(Parser)]
struct Options {
    /// Measure only these figures
    figures: Vec<Figure>,
    /// Use few runs and small data, as a smoke test
    #[arg(long)]
    quick: bool,
    /// Measure the programs in this folder
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Passed by `cargo bench`, and not by `cargo test`
    #[arg(long, hide = true)]
    bench: bool,
    /// Run as the janitor of another process
    #[arg(long, hide = true, num_args = 1..)]
    janitor: Vec<PathBuf>,
}

/// The figures, in the order of the table.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Figure {
    Start,
    Rate,
    Visible,
    Memory,
    Wakeups,
    List,
    History,
    Parse,
    Logged,
    Lines,
    OneLine,
    Tail,
    Remotes,
    Supervise,
    Web,
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Figure::Start => "start",
            Figure::Rate => "rate",
            Figure::Visible => "visible",
            Figure::Memory => "memory",
            Figure::Wakeups => "wakeups",
            Figure::List => "list",
            Figure::History => "history",
            Figure::Parse => "parse",
            Figure::Logged => "logged",
            Figure::Lines => "lines",
            Figure::OneLine => "one-line",
            Figure::Tail => "tail",
            Figure::Remotes => "remotes",
            Figure::Supervise => "supervise",
            Figure::Web => "web",
        }
    }

    fn take(self, shop: &Workshop, size: Size) -> Result<Vec<Row>> {
        let row = match self {
            Figure::Start => starts::one(shop, size),
            Figure::Rate => starts::eight(shop, size),
            Figure::Visible => starts::visible(shop, size),
            Figure::Memory => idle::memory(shop),
            Figure::Wakeups => idle::wakeups(shop, size),
            Figure::List => listings::list(shop, size),
            Figure::History => listings::history(shop, size),
            Figure::Parse => feedback::parse(shop, size),
            Figure::Logged => logs::start(shop, size),
            Figure::Lines => logs::lines(shop, size),
            Figure::OneLine => logs::one_line(shop, size),
            Figure::Tail => logs::tail(shop, size),
            Figure::Remotes => return remotes::all(shop, size),
            Figure::Supervise => return supervise::all(shop, size),
            Figure::Web => return web::all(shop, size),
        };
        Ok(vec![row?])
    }
}

/// Amount of work.
#[derive(Clone, Copy)]
enum Size {
    Full,
    Quick,
}

impl Size {
    fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Size::Full => full,
            Size::Quick => quick,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = if !options.janitor.is_empty() {
        workshop::janitor(&options.janitor).map(|()| true)
    } else if !options.bench {
        eprintln!("figures: nothing is measured without --bench, which `cargo bench --bench figures` passes");
        Ok(true)
    } else {
        measure(&options)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("figures: error: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the chosen figures and prints them; returns false if one could not be measured.
fn measure(options: &Options) -> Result<bool> {
    let size = if options.quick { Size::Quick } else { Size::Full };
    let programs = options.programs.as_ref().map(|folder| folder.canonicalize()).transpose()?;
    let shop = Workshop::open(programs.as_deref())?;
    let mut outcomes = Vec::new();
    for figure in Figure::value_variants() {
        if options.figures.is_empty() || options.figures.contains(figure) {
            eprintln!("figures: {}", figure.name());
            match figure.take(&shop, size) {
                Ok(rows) => outcomes.extend(rows.into_iter().map(|row| (figure.name(), Ok(row)))),
                Err(cause) => outcomes.push((figure.name(), Err(cause))),
            }
        }
    }
    println!("\n{}", shop.surroundings(options.quick)?);
    println!("{}", report::table(&outcomes));
    shop.close()?;
    Ok(outcomes.iter().all(|(_, outcome)| outcome.is_ok()))
}
