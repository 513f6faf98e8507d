//! The bench: what Curfew costs, beside the floor and beside others.
//!
//! `cargo run -p bench -- all`, or one part. Each prints its tables at the end and
//! leaves its figures in `target/bench/<part>.json`. Whatever is measured is built
//! in release, by the bench itself; ratios hold within one run alone.
//!
//! Adding a part: a module with a `run`, and a line in [`Part`].

mod callgrind;
mod end_to_end;
mod fan_out;
mod gate;
mod growth;
mod hashing;
mod lambda;
mod pages;
mod plot;
mod programs;
mod report;
mod requests;
mod services;
mod start;
mod work;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::programs::{Builder, all_functions};

/// Measures Curfew.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// The functions to measure, when not all of them.
    #[arg(long = "function", value_name = "NAME")]
    functions: Vec<String>,
    /// Measure what an earlier run has built.
    #[arg(long)]
    built: bool,
    /// How many rounds are run, one program after the other in each.
    #[arg(long, default_value_t = 31)]
    rounds: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How functions start: time, memory, sizes, instructions, beside the floor.
    Start,
    /// What a warm request costs, by function.
    Work,
    /// Argon2 beside the reference library.
    Hashing,
    /// What an operation takes with 1 to 100,000 devices, and what it leaves alive.
    Growth,
    /// A sign-out told to a thousand connected devices.
    FanOut,
    /// From the answer of a sign-out on, and beside a flood of sign-ins.
    EndToEnd,
    /// Whether instructions and sizes are within `limits.toml`.
    Gate,
    /// Render the tables of the cost and scale pages.
    Pages,
    /// Every part but the gate.
    All,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let wanted = |part| arguments.part == part || arguments.part == Part::All;
    let in_release = [Part::Start, Part::Work, Part::Hashing, Part::Growth];
    if in_release.into_iter().any(wanted) || arguments.part == Part::Gate {
        released(&arguments, wanted).await?;
    }
    if wanted(Part::FanOut) {
        fan_out::run().await?;
    }
    if wanted(Part::EndToEnd) {
        end_to_end::run().await?;
    }
    if wanted(Part::Pages) {
        pages::run()?;
    }
    Ok(())
}

/// The parts that measure the programs as they are deployed.
async fn released(arguments: &Arguments, wanted: impl Fn(Part) -> bool) -> Result<()> {
    let builder = Builder::new(arguments.built).await?;
    if arguments.part == Part::Gate {
        return gate::run(&builder).await;
    }
    let functions = if arguments.functions.is_empty() {
        all_functions()?
    } else {
        arguments.functions.clone()
    };
    let rounds = arguments.rounds;
    if wanted(Part::Start) {
        start::run(&builder, &functions, rounds).await?;
    }
    if wanted(Part::Work) {
        work::run(&builder, &functions).await?;
    }
    if wanted(Part::Hashing) {
        hashing::run(&builder, rounds).await?;
    }
    if wanted(Part::Growth) {
        growth::run(&builder, rounds).await?;
    }
    Ok(())
}
