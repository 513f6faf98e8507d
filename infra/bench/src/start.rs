//! How functions start: every release binary under a Runtime API of its own,
//! beside a static floor program and the least function of `lambda_runtime`.
//!
//! A function starts here as in the cloud: towards AWS itself, so with TLS, and it
//! is asked what it answers without a call of its own. No socket is opened but to
//! the Runtime API.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use rustix::fs::{Advice, fadvise};
use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;

use crate::callgrind;
use crate::lambda::Function;
use crate::programs::{Builder, Program, folder};
use crate::report::{Report, Table, median, millions};
use crate::requests::{environment, refused};

/// What was measured of one program; times in milliseconds, medians.
#[derive(Debug, Serialize)]
pub struct Figures {
    program: String,
    /// From the start of the process to its first question for work.
    init_ms: f64,
    /// The same, with the program's file out of the page cache.
    file_cold_init_ms: f64,
    /// From the start to the first answer.
    first_answer_ms: f64,
    /// Instructions from the start to the first answer and back to sleep.
    instructions: u64,
    /// Resident memory after the first answer.
    resident_bytes: u64,
    binary_bytes: u64,
    zip_bytes: u64,
    /// As a multiple of the floor's.
    init_of_floor: f64,
    /// As a multiple of the least function's of `lambda_runtime`.
    init_of_hello: f64,
}

/// What one start showed.
struct Start {
    init: Duration,
    first_answer: Duration,
    resident_bytes: u64,
}

/// Builds, starts and counts.
///
/// # Errors
/// When something does not build or run.
pub async fn run(builder: &Builder, functions: &[String], rounds: usize) -> Result<()> {
    callgrind::required().await?;
    let mut programs = vec![
        builder.floor().await?,
        builder.example("bench-hello").await?,
    ];
    programs.extend(builder.functions(functions).await?);

    // Round by round, so that whatever the machine does beside meets all of them.
    let mut warm: Vec<Vec<Start>> = programs.iter().map(|_| Vec::new()).collect();
    let mut cold: Vec<Vec<Start>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        eprint!(
            "\rStarting {} programs: round {round} of {rounds} ",
            programs.len()
        );
        for (n, program) in programs.iter().enumerate() {
            let start = start(program, false).await?;
            let file_cold = start_cold(program).await?;
            // The first round fills caches.
            if round > 0 {
                warm[n].push(start);
                cold[n].push(file_cold);
            }
        }
    }
    eprintln!();

    let mut figures: Vec<Figures> = Vec::new();
    for (n, program) in programs.iter().enumerate() {
        eprint!("\rCounting instructions: {} of {} ", n + 1, programs.len());
        let init = median(warm[n].iter().map(|start| ms(start.init)));
        let (floor, hello) = match figures.as_slice() {
            [] => (init, init),
            [floor] => (floor.init_ms, init),
            [floor, hello, ..] => (floor.init_ms, hello.init_ms),
        };
        let (binary_bytes, zip_bytes) = sizes(program)?;
        figures.push(Figures {
            program: program.name.clone(),
            init_ms: init,
            file_cold_init_ms: median(cold[n].iter().map(|start| ms(start.init))),
            first_answer_ms: median(warm[n].iter().map(|start| ms(start.first_answer))),
            instructions: instructions(program).await?,
            resident_bytes: warm[n]
                .iter()
                .map(|start| start.resident_bytes)
                .max()
                .unwrap_or(0),
            binary_bytes,
            zip_bytes,
            init_of_floor: init / floor,
            init_of_hello: init / hello,
        });
    }
    eprintln!();
    let table = table(&figures);
    Report::new("start", figures, vec![table]).publish()
}

fn table(figures: &[Figures]) -> Table {
    let columns = [
        "program",
        "init ms",
        "/ floor",
        "/ hello",
        "file-cold ms",
        "first answer ms",
        "M instructions",
        "RSS MB",
        "binary MB",
        "zip MB",
    ];
    let mut table = Table::new("How functions start", &columns);
    for it in figures {
        table.row([
            it.program.clone(),
            format!("{:.2}", it.init_ms),
            format!("{:.2}", it.init_of_floor),
            format!("{:.2}", it.init_of_hello),
            format!("{:.2}", it.file_cold_init_ms),
            format!("{:.2}", it.first_answer_ms),
            format!("{:.2}", millions(it.instructions)),
            format!("{:.1}", millions(it.resident_bytes)),
            format!("{:.2}", millions(it.binary_bytes)),
            format!("{:.2}", millions(it.zip_bytes)),
        ]);
    }
    table
}

/// Starts a program once, and asks it once.
async fn start(program: &Program, count: bool) -> Result<Start> {
    let mut command = if count {
        callgrind::command(program)
    } else {
        let mut command = Command::new(&program.file);
        command.env_clear();
        command
    };
    environment(&mut command);
    let log = folder().join("start.log");
    let event: Value = refused(&program.name);
    let mut function = Function::start(command, Some(&event), &log).await?;
    let init = function.initialised().await?;
    let (_, first_answer) = function.answer().await?;
    function.idle().await?;
    let resident_bytes = function.resident_bytes()?;
    function.end().await?;
    Ok(Start {
        init,
        first_answer,
        resident_bytes,
    })
}

/// The same, with the program's file out of the page cache.
async fn start_cold(program: &Program) -> Result<Start> {
    let file = File::open(&program.file)?;
    // Only clean pages are dropped.
    file.sync_all()?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    start(program, false).await
}

/// The instructions of one start with one answer.
///
/// # Errors
/// When it does not run under callgrind.
pub async fn instructions(program: &Program) -> Result<u64> {
    start(program, true).await?;
    callgrind::instructions(program)
}

/// The bytes of the program, and of the archive that it is deployed as.
///
/// # Errors
/// When it can't be read.
pub fn sizes(program: &Program) -> Result<(u64, u64)> {
    /// What an archive of one file adds: two headers and the end.
    const AROUND: u64 = 150;
    let binary = fs::read(&program.file)?;
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&binary)?;
    let zip = packed.finish()?.len() as u64 + AROUND;
    Ok((binary.len() as u64, zip))
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
