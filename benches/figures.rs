//! Every figure the README states about speed and memory, measured in one run beside others that do the same work.
//!
//! ```text
//! cargo bench --bench figures                        all of them, in about three minutes
//! cargo bench --bench figures -- start rate          some of them
//! cargo bench --bench figures -- --quick             few runs and small data, in 20 s: does it all still work?
//! cargo bench --bench figures -- --programs DIR      the programs of DIR instead of those just built
//! ```
//!
//! It prints one Markdown table and says how many of its rows hold. A figure that does not hold is no error, so that a busy machine
//! cannot fail a build; one that could not be taken is. Run it on a machine with nothing else to do.
//!
//! # How each is taken
//!
//! All times are of whole processes, from before the start to after the wait, in medians. Whoever is compared runs in turn in
//! the same loop, so that noise hits all alike. What has to be right is checked: every run is in the history, every row in the list.
//!
//! | name | figure |
//! |---|---|
//! | `start` | `launch -- true` on a new database on the disk, as a multiple of a C program that only forks, execs and waits, started fresh each time, dynamically linked as a user would link it. `launch` promises that both the start and the end survive a power cut; "two fdatasync alone" says what this disk takes for two such writes. |
//! | `rate` | rounds of launches, always eight at once, in turn with rounds of the wrapper by the same eight hands. |
//! | `visible` | from the wall clock that a command writes down as its last act to the moment a reader, who asks the database without pause, sees the row; for commands that end at once and for some that lived over a second. |
//! | `memory` | PSS (`/proc/PID/smaps_rollup`) of all launcher processes when they have come to rest, divided by their number; the commands do not count. |
//! | `wakeups` | how often the threads of a launcher left a processor (both counters of `/proc/PID/status`) during 16 s. |
//! | `list` | the row of a real, running task copied 10,000 times, each with a live process of its own that stands for its launcher (`benches/crowd.c`) and holds its lock. Output to a file. |
//! | `history` | rows of real tasks copied until 1,000,000 cover a year, kept in Cargo's `tmp` folder inside `target` for the next run. Deep pages start from a cursor that the program gave. The row stands for the slowest of the pages listed below the table; filters of which nothing is promised are told there too. |
//! | `parse` | whole runs over a file in the page cache. |
//! | `logged` | `launch -- true` with its log and with `--no-log`, in turn, on new databases. |
//! | `lines`, `one-line` | `benches/lines.c` through `launch` into a file, with the usual bound of 64 MB for the log, in turn with `tee LOG > FILE`, which keeps all of it twice; `ts` gets a part of it. |
//! | `tail` | whole runs on a log of the largest usual size, in the page cache. |
//! | `remotes` | 1,500,000 ended tasks of 100 remotes with 10 nodes each, over 7 days, and 200 that run: made up, always the same, and added as they would come in, two hours of one remote after the other. Times are those of the library's calls, but for the fresh process. Beside it the same rows in one SQLite table of texts with an index of their starts. |
//! | `supervise` | The same programs under `supervise` and under supervisord, in turn, with `startsecs` 0 and each one's usual logs. Both daemons are asked for many starts over their sockets, and their logs say that a program has ended; a single start, and the status, are the clients' whole runs. Memory is PSS and wake-ups are switches of our daemon and all its launchers, of all their threads. |
//! | `web` | pages got over a socket, each on a new connection, to the last byte: those of the history of `history` from `supervise web`, that of 100 programs from their supervisor. Live pages are open connections whose events are read as they come; the share of a processor is that of all threads of the supervisor. |
//!
//! # The peers
//!
//! They are found on the `PATH` and told as missing if they are not there; on Debian: `apt-get install task-spooler nq s6 moreutils`.
//! taskwatcher 1.7 takes part if `TASKWATCHER17_PYTHON` names a Python that has it (`pip install taskwatcher==1.7 psutil`).
//! `SUPERVISOR_PYTHON` likewise names the Python beside whose programs are supervisord and supervisorctl, if they are not on the
//! `PATH` (`pip install supervisor==4.3.0`).
#![expect(
    clippy::disallowed_methods,
    reason = "what is measured here is time as it passes, and it is waited for others to come to rest"
)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program, and the table is its output")]

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

/// Measures the figures of the README.
#[derive(Parser)]
struct Options {
    /// Only these figures
    figures: Vec<Figure>,
    /// Few runs and small data, for a check that everything can still be measured
    #[arg(long)]
    quick: bool,
    /// Measure the programs of this folder
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Given by `cargo bench`, and not by `cargo test`
    #[arg(long, hide = true)]
    bench: bool,
    /// How this program starts its own janitor
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

/// How much is measured.
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
        eprintln!("figures: nothing is measured without --bench, which `cargo bench --bench figures` gives");
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

/// Takes the chosen figures and prints them; false if one could not be taken.
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
