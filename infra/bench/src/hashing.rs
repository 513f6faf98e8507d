//! Argon2id beside the reference library in C, with the same parameters, password
//! and salt, both in a buffer that was touched before; in rounds, one after the
//! other. Counted in processor time, so that it holds on a busy machine too.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::programs::{Builder, Program};
use crate::report::{Report, Table, median};

/// Hashes of each program in a round; the first is its first since its start.
const HASHES: usize = 6;

/// A processor that has AVX2 and nothing later, as what is deployed is built for.
const WITH_AVX2: &str = "haswell";

/// What was measured; medians, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    hashers: Vec<Figure>,
    /// A steady hash of ours as a multiple of the reference's for this processor.
    of_reference: f64,
    /// The same of the reference's with the instructions that ours has, too.
    of_reference_with_avx2: Option<f64>,
    /// The first after the start as a multiple of a steady one.
    first_of_steady: f64,
}

/// What was measured of a program that hashes.
#[derive(Debug, Serialize)]
pub struct Figure {
    program: String,
    first_ms: f64,
    steady_ms: f64,
}

/// A program that hashes when it is told to.
struct Hashing {
    child: Child,
    tell: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

/// Builds and hashes.
///
/// # Errors
/// When something does not build or run.
pub async fn run(builder: &Builder, rounds: usize) -> Result<()> {
    let ours = builder.example("bench-hash").await?;
    let mut programs = vec![
        ("ours".to_owned(), ours),
        (
            "reference in C, for this processor".to_owned(),
            builder.argon2("native").await?,
        ),
    ];
    if cfg!(target_arch = "x86_64") {
        let reference = builder.argon2(WITH_AVX2).await?;
        programs.push(("reference in C, with AVX2".to_owned(), reference));
    }
    let mut times: Vec<Vec<Vec<f64>>> = programs.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        eprint!("\rHashing: round {} of {rounds} ", round + 1);
        let mut hashing = Vec::new();
        for (_, program) in &programs {
            hashing.push((Hashing::start(program)?, Vec::new()));
        }
        for _ in 0..HASHES {
            for (hashing, round) in &mut hashing {
                round.push(hashing.hash().await?);
            }
        }
        for (n, (mut hashing, round)) in hashing.into_iter().enumerate() {
            hashing.child.kill().await?;
            times[n].push(round);
        }
    }
    eprintln!();
    let figure = |(program, times): (&String, &Vec<Vec<f64>>)| Figure {
        program: program.clone(),
        first_ms: median(times.iter().map(|round| round[0])),
        steady_ms: median(times.iter().flat_map(|round| round[1..].to_vec())),
    };
    let names = programs.iter().map(|(name, _)| name);
    let hashers: Vec<Figure> = names.zip(&times).map(figure).collect();
    let ours = &hashers[0];
    let figures = Figures {
        of_reference: ours.steady_ms / hashers[1].steady_ms,
        of_reference_with_avx2: hashers.get(2).map(|it| ours.steady_ms / it.steady_ms),
        first_of_steady: ours.first_ms / ours.steady_ms,
        hashers,
    };
    let columns = [
        "Argon2id, 19456 KiB, 2 passes",
        "first ms",
        "steady ms",
        "ours / it",
    ];
    let mut table = Table::new("A hash", &columns);
    for it in &figures.hashers {
        let ours = figures.hashers[0].steady_ms;
        table.row([
            it.program.clone(),
            format!("{:.2}", it.first_ms),
            format!("{:.2}", it.steady_ms),
            format!("{:.2}", ours / it.steady_ms),
        ]);
    }
    Report::new("hashing", figures, vec![table]).publish()
}

impl Hashing {
    fn start(program: &Program) -> Result<Self> {
        let mut child = Command::new(&program.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let tell = child.stdin.take().context("an input")?;
        let told = BufReader::new(child.stdout.take().context("an output")?).lines();
        Ok(Self { child, tell, told })
    }

    /// Hashes once, and tells the milliseconds that it took.
    async fn hash(&mut self) -> Result<f64> {
        self.tell.write_all(b"hash\n").await?;
        let Some(line) = self.told.next_line().await? else {
            bail!("a program ended instead of hashing");
        };
        let nanos = line.split(' ').next().unwrap_or_default();
        Ok(nanos.parse::<f64>()? / 1e6)
    }
}
