//! Tasks inside a Rust process: checksums all files below some folders, one task per folder.
//!
//! ```sh
//! cargo run --example worker -- /usr/share/doc /etc &
//! control list --watch        # a progress bar per folder
//! control log TASK --follow   # its output
//! control kill TASK           # it stops after the current file
//! ```
//!
//! The database is `TASKWATCHER_DB`, or else the default. Files that cannot be read are warnings.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use taskwatcher::{
    app::{
        db,
        worker::{Worker, WorkerHandle},
    },
    io::{store::LockTimeout, sys},
    model::task::Outcome,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        eprintln!("usage: worker FOLDER...");
        return Ok(ExitCode::from(2));
    }
    let store = db::open_or_create(&db::path(None)?, LockTimeout::USUAL)?;
    let mut workers: Vec<WorkerHandle> = vec![];
    for folder in folders {
        let id = folder.display().to_string();
        let worker = Worker::spawn(&store, "sums", &id, &sys::login(), move |worker| sums(worker, &folder))?;
        println!("{id}: task {}", worker.id());
        workers.push(worker);
    }
    let mut good = true;
    for worker in workers {
        let id = worker.id();
        let outcome = worker.join();
        println!("task {id}: {outcome}");
        good &= matches!(outcome, Outcome::Ok | Outcome::Warnings(_));
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sums(worker: &Worker, folder: &Path) -> io::Result<()> {
    worker.status("looking for files");
    let mut files = vec![];
    find(worker, folder, &mut files)?;
    worker.log(&format!("{} files below {}", files.len(), folder.display()));
    worker.status("reading them");
    for (done, file) in files.iter().enumerate() {
        if worker.check_abort() {
            worker.log(&format!("stopped after {done} files"));
            return Ok(());
        }
        match fs::read(file) {
            Ok(bytes) => {
                let sum = bytes.iter().fold(0u32, |sum, byte| sum.rotate_left(1) ^ u32::from(*byte));
                worker.log(&format!("{sum:08x} {}", file.display()));
            }
            Err(error) => worker.warn(&format!("cannot read {}: {error}", file.display())),
        }
        worker.progress((done + 1) as f64 / files.len() as f64);
    }
    Ok(())
}

fn find(worker: &Worker, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if worker.check_abort() {
            return Ok(());
        }
        if kind.is_dir() {
            if let Err(error) = find(worker, &entry.path(), files) {
                worker.warn(&format!("cannot look into {}: {error}", entry.path().display()));
            }
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}
