//! Argon2id beside the reference library in C, with the same parameters, password and
//! salt. Both use a buffer that was touched before, and hash in turn. The time is
//! processor time, so that a busy machine matters little.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::programs::{Builder, Program};
use crate::report::{Report, Table, median};

/// Hashes of each program in a round. The first is the first since its start.
const HASHES: usize = 6;

/// A processor with AVX2 and nothing later, for which the deployed functions are built.
const WITH_AVX2: &str = "haswell";

/// Medians in milliseconds.
#[derive(Serialize)]
struct Figure {
    program: String,
    first_ms: f64,
    steady_ms: f64,
}

/// Builds the programs and measures them.
pub async fn run(builder: &Builder, rounds: usize) -> Result<()> {
    let ours = builder.example("bench-hash").await?;
    let native = builder.argon2("native").await?;
    let mut programs = vec![
        ("ours", ours),
        ("reference in C, for this processor", native),
    ];
    if cfg!(target_arch = "x86_64") {
        let reference = builder.argon2(WITH_AVX2).await?;
        programs.push(("reference in C, with AVX2", reference));
    }
    let mut times: Vec<Vec<Vec<f64>>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        eprint!("\rhashing: round {} of {rounds} ", round + 1);
        let mut hashing = Vec::new();
        for (_, program) in &programs {
            hashing.push((Hashing::start(program)?, Vec::new()));
        }
        for _ in 0..HASHES {
            for (hashing, round) in &mut hashing {
                round.push(hashing.hash().await?);
            }
        }
        for ((mut hashing, round), times) in hashing.into_iter().zip(&mut times) {
            hashing.child.kill().await?;
            times.push(round);
        }
    }
    eprintln!();
    let names = programs.iter().map(|(name, _)| (*name).to_owned());
    let figures = names.zip(&times).map(|(program, times)| Figure {
        program,
        first_ms: median(times.iter().map(|round| round[0])),
        steady_ms: median(times.iter().flat_map(|round| round[1..].to_vec())),
    });
    publish(figures.collect())
}

fn publish(figures: Vec<Figure>) -> Result<()> {
    let columns = ["program", "first ms", "steady ms", "ours / it"];
    let mut table = Table::new("Argon2id, 19456 KiB, 2 passes", &columns);
    let ours = figures[0].steady_ms;
    for it in &figures {
        table.row([
            it.program.clone(),
            format!("{:.2}", it.first_ms),
            format!("{:.2}", it.steady_ms),
            format!("{:.2}", ours / it.steady_ms),
        ]);
    }
    Report::new("hashing", figures, vec![table]).publish()
}

/// A program that hashes once for each line of its input.
struct Hashing {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Hashing {
    fn start(program: &Program) -> Result<Self> {
        let mut child = Command::new(&program.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("an input")?;
        let output = BufReader::new(child.stdout.take().context("an output")?).lines();
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Hashes once and returns the milliseconds that it took.
    async fn hash(&mut self) -> Result<f64> {
        self.input.write_all(b"hash\n").await?;
        let line = self.output.next_line().await?;
        let line = line.context("a program ended instead of hashing")?;
        let nanos = line.split(' ').next().unwrap_or_default();
        Ok(nanos.parse::<f64>()? / 1e6)
    }
}
