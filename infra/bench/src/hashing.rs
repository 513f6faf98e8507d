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

/// What was measured; medians, in milliseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    ours_first_ms: f64,
    ours_ms: f64,
    reference_first_ms: f64,
    reference_ms: f64,
    /// A steady hash of ours as a multiple of the reference's.
    of_reference: f64,
    /// The first after the start as a multiple of a steady one.
    first_of_steady: f64,
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
    let reference = builder.argon2().await?;
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        eprint!("\rHashing: round {} of {rounds} ", round + 1);
        let mut both = (Hashing::start(&ours)?, Hashing::start(&reference)?);
        let (mut our_round, mut their_round) = (Vec::new(), Vec::new());
        for _ in 0..HASHES {
            our_round.push(both.0.hash().await?);
            their_round.push(both.1.hash().await?);
        }
        both.0.child.kill().await?;
        both.1.child.kill().await?;
        our_times.push(our_round);
        their_times.push(their_round);
    }
    eprintln!();
    let first = |times: &[Vec<f64>]| median(times.iter().map(|round| round[0]));
    let steady = |times: &[Vec<f64>]| median(times.iter().flat_map(|round| round[1..].to_vec()));
    let figures = Figures {
        ours_first_ms: first(&our_times),
        ours_ms: steady(&our_times),
        reference_first_ms: first(&their_times),
        reference_ms: steady(&their_times),
        of_reference: steady(&our_times) / steady(&their_times),
        first_of_steady: first(&our_times) / steady(&our_times),
    };
    let columns = [
        "Argon2id, 19456 KiB, 2 passes",
        "first ms",
        "steady ms",
        "/ reference",
    ];
    let mut table = Table::new("A hash", &columns);
    for (what, first, steady) in [
        ("ours", figures.ours_first_ms, figures.ours_ms),
        (
            "reference, in C",
            figures.reference_first_ms,
            figures.reference_ms,
        ),
    ] {
        let of_reference = steady / figures.reference_ms;
        table.row([
            what.to_owned(),
            format!("{first:.2}"),
            format!("{steady:.2}"),
            format!("{of_reference:.2}"),
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
