//! How functions start: each release binary under a Runtime API, beside a static program
//! in C (the floor) and the least function that `lambda_runtime` makes.
//!
//! A function starts as in the cloud, with TLS towards AWS itself, and gets an event that
//! it answers without a call. It opens no socket but to the Runtime API.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use tokio::process::Command;

use crate::callgrind;
use crate::lambda::Function;
use crate::programs::{Builder, Program, folder};
use crate::report::{Report, Table, median, millions};
use crate::requests::environment;
use crate::requests::events::refused;

/// Medians of the rounds.
#[derive(Serialize)]
struct Figures {
    program: String,
    /// From the start of the process until it asks for work.
    init_ms: f64,
    /// From the start to the first answer.
    first_answer_ms: f64,
    /// Instructions from the start to the first answer and until it is idle.
    instructions: u64,
    /// Resident memory after the first answer.
    resident_bytes: u64,
    binary_bytes: u64,
    zip_bytes: u64,
}

struct Start {
    init: Duration,
    first_answer: Duration,
    resident_bytes: u64,
}

/// Builds the programs, starts them and counts their instructions.
pub async fn run(builder: &Builder, functions: &[String], rounds: usize) -> Result<()> {
    callgrind::required().await?;
    let hello = builder.example("bench-hello").await?;
    let mut programs = vec![builder.floor().await?, hello];
    programs.extend(builder.functions(functions).await?);

    // Round by round, so that other load on the machine affects all programs.
    let mut starts: Vec<Vec<Start>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        eprint!("\rstart: round {round} of {rounds} ");
        for (program, starts) in programs.iter().zip(&mut starts) {
            let start = start(program, false).await?;
            // The first round fills caches.
            if round > 0 {
                starts.push(start);
            }
        }
    }
    let mut figures = Vec::new();
    for (program, starts) in programs.iter().zip(&starts) {
        eprintln!("start: counting {} …", program.name);
        let (binary_bytes, zip_bytes) = sizes(program)?;
        let resident = starts.iter().map(|start| start.resident_bytes).max();
        figures.push(Figures {
            program: program.name.clone(),
            init_ms: median(starts.iter().map(|start| ms(start.init))),
            first_answer_ms: median(starts.iter().map(|start| ms(start.first_answer))),
            instructions: instructions(program).await?,
            resident_bytes: resident.unwrap_or(0),
            binary_bytes,
            zip_bytes,
        });
    }
    let table = table(&figures);
    Report::new("start", figures, vec![table]).publish()
}

fn table(figures: &[Figures]) -> Table {
    let columns = [
        "program",
        "init ms",
        "/ floor",
        "/ hello",
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
            format!("{:.2}", it.init_ms / figures[0].init_ms),
            format!("{:.2}", it.init_ms / figures[1].init_ms),
            format!("{:.2}", it.first_answer_ms),
            format!("{:.2}", millions(it.instructions)),
            format!("{:.1}", millions(it.resident_bytes)),
            format!("{:.2}", millions(it.binary_bytes)),
            format!("{:.2}", millions(it.zip_bytes)),
        ]);
    }
    table
}

/// Starts a program once, under callgrind or not, and sends it one event.
async fn start(program: &Program, is_counted: bool) -> Result<Start> {
    let mut command = if is_counted {
        callgrind::command(program)
    } else {
        let mut command = Command::new(&program.file);
        command.env_clear();
        command
    };
    environment(&mut command);
    let event = refused(&program.name);
    let log = folder().join("start.log");
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

/// Returns the instructions of one start with one answer.
pub async fn instructions(program: &Program) -> Result<u64> {
    start(program, true).await?;
    callgrind::instructions(program)
}

/// Returns the bytes of the program, and of the archive in which it is deployed.
pub fn sizes(program: &Program) -> Result<(u64, u64)> {
    /// The headers and the end of an archive with one file.
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
