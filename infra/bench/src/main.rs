//! The bench measures Curfew: how functions start, what requests cost, how operations
//! grow, what happens after a sign-out, and what times of answers reveal. See `infra/docs/performance`.
//!
//! Each part prints its tables and writes its figures to `target/bench/<part>.json`.
//! The bench builds the functions that it measures in release. Times depend on the
//! machine: compare ratios of one run.

mod callgrind;
mod end_to_end;
mod enumeration;
mod gate;
mod growth;
mod lambda;
mod pages;
mod programs;
mod report;
mod requests;
mod server;
mod services;
mod start;
mod work;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use tokio::process::Command;

use crate::programs::{Builder, all_functions};

/// Measures Curfew.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,
    /// Measure this function only; can be repeated.
    #[arg(long = "function", value_name = "NAME")]
    functions: Vec<String>,
    /// Measure what an earlier run has built.
    #[arg(long)]
    built: bool,
    /// How many rounds to measure.
    #[arg(long, default_value_t = 31)]
    rounds: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How functions start: time, memory, sizes and instructions.
    Start,
    /// What a warm request costs each function.
    Work,
    /// What operations cost with 1 to 100,000 devices, and what they leave alive.
    Growth,
    /// How soon a sign-out takes effect, and sign-outs beside a flood of sign-ins.
    EndToEnd,
    /// How well the time of an answer shows whether an address has an account (AUC).
    Enumeration,
    /// How long it takes to judge passwords that were made to be slow.
    Passwords,
    /// Check instructions and sizes against `limits.toml`, as CI does.
    Gate,
    /// Render the tables of the cost and scale pages.
    Pages,
    /// Every part but the gate.
    All,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let rounds = arguments.rounds;
    let wanted = |part| arguments.part == part || arguments.part == Part::All;
    let functions = match arguments.functions.as_slice() {
        [] => all_functions()?,
        some => some.to_vec(),
    };
    if arguments.part == Part::Gate {
        return gate::run(&Builder::new(arguments.built).await?).await;
    }
    let in_release = [
        Part::Start,
        Part::Work,
        Part::Growth,
        Part::Enumeration,
        Part::Passwords,
    ];
    if in_release.into_iter().any(wanted) {
        let builder = Builder::new(arguments.built).await?;
        if wanted(Part::Start) {
            start::run(&builder, &functions, rounds).await?;
        }
        if wanted(Part::Work) {
            work::run(&builder, &functions).await?;
        }
        if wanted(Part::Growth) {
            Box::pin(growth::run(&builder, rounds)).await?;
        }
        if wanted(Part::Enumeration) {
            Box::pin(enumeration::run(&builder)).await?;
        }
        if wanted(Part::Passwords) {
            let program = builder.example("password-judgement").await?;
            let judged = Command::new(&program.file).status().await?;
            ensure!(judged.success(), "{} failed", program.name);
        }
    }
    if wanted(Part::EndToEnd) {
        Box::pin(end_to_end::run()).await?;
    }
    if wanted(Part::Pages) {
        pages::run()?;
    }
    Ok(())
}
