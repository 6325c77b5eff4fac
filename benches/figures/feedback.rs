//! Cost of reading a large feedback file.

use crate::Size;
use crate::report::{Result, Row, median};
use crate::workshop::{Workshop, installed, quiet, repeat};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

/// The same grammar in awk, without its limits.
const AWK: &str = r#"
/^\[/ {
    end = index($0, "]")
    keyword = substr($0, 2, end - 2)
    value = substr($0, end + 1)
    if (value == "") delete values[keyword]; else values[keyword] = value
}
END { for (keyword in values) print keyword, values[keyword] }
"#;

/// The usual loop of a Python program for the same grammar, without its limits.
const PYTHON: &str = r#"
import json, sys
values = {}
for line in open(sys.argv[1], encoding="utf-8", errors="replace"):
    if line.startswith("["):
        keyword, _, value = line[1:].rstrip("\n").partition("]")
        if value:
            values[keyword] = value
        else:
            values.pop(keyword, None)
print(json.dumps(values))
"#;

/// Measures `parse --feedback` of a large file.
pub fn parse(shop: &Workshop, size: Size) -> Result<Row> {
    let (megabytes, runs) = size.of((100, 7), (10, 3));
    let file = shop.folder.join("feedback.log");
    let (bytes, lines, expected) = write_feedback(&file, megabytes * 1_000_000)?;

    let mut command = quiet(&shop.parse);
    command.arg("--feedback").arg(&file);
    let output = command.stdout(Stdio::piped()).output()?;
    let output: Value =
        serde_json::from_slice(&output.stdout).map_err(|cause| format!("read what parse printed: {cause}"))?;
    if output != expected {
        return Err(format!("parse {}: {output} instead of {expected}", file.display()).into());
    }
    let rate = |times: Vec<f64>| bytes as f64 / 1000.0 / median(&times);
    let own = rate(repeat(command.stdout(Stdio::null()), runs)?);
    let mut peers = Vec::new();
    for (label, name, script, runs) in [
        ("`wc -l`", "wc", "-l", runs),
        ("a short awk script", "awk", AWK, 1),
        ("a line loop in Python", "python3", PYTHON, 1),
    ] {
        let Some(program) = installed(name) else {
            peers.push(format!("{label}: not installed"));
            continue;
        };
        let mut command = quiet(program);
        if name == "python3" {
            command.arg("-c");
        }
        peers.push(format!("{label} {:.0} MB/s", rate(repeat(command.arg(script).arg(&file), runs)?)));
    }
    Ok(Row {
        work: "`parse --feedback` of a 100 MB file",
        measured: format!("{own:.0} MB/s"),
        peers,
        target: "≥ 200 MB/s",
        holds: own >= 200.0,
        details: vec![format!("{megabytes} MB, {lines} lines of {:.0} bytes on average", bytes as f64 / lines as f64)],
    })
}

/// Writes the feedback of a verbose test campaign: short values, some long ones, a comment, a line
/// that is ignored, an empty line. Returns the number of bytes and lines, and the resulting values.
fn write_feedback(path: &Path, least: u64) -> Result<(u64, u64, Value)> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut bytes, mut lines, mut case) = (0, 0, 0);
    while bytes < least {
        case += 1;
        let text = format!(
            "# case {case} begins\n[testcase_id]{case:06}\n[testcase_name]Setting up topology {case}\n[info]connecting\n\
             [progress]{}\nwaiting for the link to come up\n[heartbeat]\n[info]\n",
            case % 101
        );
        file.write_all(text.as_bytes())?;
        bytes += text.len() as u64;
        lines += 8;
    }
    file.flush()?;
    let expected = json!({
        "testcase_id": format!("{case:06}"),
        "testcase_name": format!("Setting up topology {case}"),
        "progress": (case % 101).to_string(),
    });
    Ok((bytes, lines, expected))
}
