//! What a warm request costs a function: processor time and instructions, with the
//! tables and everything else on the other side of a socket.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;

use crate::callgrind;
use crate::lambda::Function;
use crate::programs::{Builder, Program, folder};
use crate::report::{Report, Table, median, millions};
use crate::requests::{Request, World};

/// Requests before those that count.
const WARM_UP: u32 = 20;
/// Requests that count, in as many groups.
const GROUPS: u32 = 7;
const GROUP: u32 = 20;

/// Requests are numbered, so that none is like an earlier one where that matters.
const MILLION: u64 = 1_000_000;

/// What was measured of one function.
#[derive(Debug, Serialize)]
pub struct Figures {
    function: String,
    request: &'static str,
    /// The calls that it makes, in their order.
    calls: Vec<String>,
    /// Processor time of a warm request, in microseconds, the median of groups.
    processor_us: f64,
    /// Processor time of the first request.
    first_processor_us: f64,
    /// Instructions of a warm request.
    instructions: u64,
    /// Instructions from the start to the first answer and back to sleep, with the
    /// calls that the request needs.
    first_instructions: u64,
    /// Resident memory after 100 requests.
    resident_bytes: u64,
}

/// Builds, asks and counts.
///
/// # Errors
/// When something does not build or run.
pub async fn run(builder: &Builder, functions: &[String]) -> Result<()> {
    callgrind::required().await?;
    let programs = builder.functions(functions).await?;
    let world = Box::pin(World::new()).await?;
    let mut figures = Vec::new();
    for (n, program) in programs.iter().enumerate() {
        eprintln!("Working: {} of {}, {}", n + 1, programs.len(), program.name);
        let Some(request) = world.request(&program.name) else {
            bail!(
                "{} has no request in infra/bench/src/requests.rs",
                program.name
            );
        };
        figures.push(measure(&world, program, &request).await?);
    }
    let columns = [
        "function",
        "request",
        "calls",
        "CPU µs",
        "first, CPU µs",
        "k instructions",
        "start to answer, M instructions",
        "RSS MB after 100",
    ];
    let mut table = Table::new("What a warm request costs a function", &columns);
    for it in &figures {
        table.row([
            it.function.clone(),
            it.request.to_owned(),
            it.calls.len().to_string(),
            format!("{:.0}", it.processor_us),
            format!("{:.0}", it.first_processor_us),
            (it.instructions / 1_000).to_string(),
            format!("{:.2}", millions(it.first_instructions)),
            format!("{:.1}", millions(it.resident_bytes)),
        ]);
    }
    Report::new("work", figures, vec![table]).publish()
}

async fn measure(world: &World, program: &Program, request: &Request) -> Result<Figures> {
    let mut command = Command::new(&program.file);
    command.env_clear();
    let mut function = begin(world, command).await?;
    let begun = function.processor_time()?;
    let _before = world.services.take_calls();
    ask(world, &mut function, request, 0).await?;
    let calls = world.services.take_calls();
    let first = function.processor_time()?.saturating_sub(begun);
    for n in 1..WARM_UP {
        ask(world, &mut function, request, n.into()).await?;
    }
    let mut groups = Vec::new();
    let mut resident_bytes = 0;
    for group in 0..GROUPS {
        let before = function.processor_time()?;
        for n in 0..GROUP {
            let n = WARM_UP + group * GROUP + n;
            ask(world, &mut function, request, n.into()).await?;
        }
        let took = function.processor_time()?.saturating_sub(before);
        groups.push(us(took) / f64::from(GROUP));
        if WARM_UP + (group + 1) * GROUP == 100 {
            resident_bytes = function.resident_bytes()?;
        }
    }
    function.end().await?;
    let first_instructions = counted(world, program, request, 1).await?;
    let instructions = instructions(world, program, request).await?;
    Ok(Figures {
        function: program.name.clone(),
        request: request.what,
        calls,
        processor_us: median(groups),
        first_processor_us: us(first),
        instructions,
        first_instructions,
        resident_bytes,
    })
}

/// The instructions of a warm request.
///
/// # Errors
/// When it does not run under callgrind.
pub async fn instructions(world: &World, program: &Program, request: &Request) -> Result<u64> {
    const FEW: u64 = 3;
    const MANY: u64 = 8;
    let few = counted(world, program, request, FEW).await?;
    let many = counted(world, program, request, MANY).await?;
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// The instructions from the start to the end of so many requests. Where a machine
/// is so busy that a call was given up and made again, it is counted anew.
async fn counted(world: &World, program: &Program, request: &Request, times: u64) -> Result<u64> {
    const TRIES: u64 = 4;
    for attempt in 1.. {
        let _before = world.services.take_calls();
        let first = TRIES * MILLION * times + attempt * MILLION;
        let done = count(world, program, request, first..first + times).await;
        let calls = world.services.take_calls().len() as u64;
        match done {
            Ok(instructions) if calls.is_multiple_of(times) => return Ok(instructions),
            Err(error) if attempt == TRIES => return Err(error),
            Ok(_) if attempt == TRIES => bail!("{} calls again and again", program.name),
            _ => eprintln!("Counting again: {}", program.name),
        }
    }
    unreachable!("the last attempt returns")
}

async fn count(
    world: &World,
    program: &Program,
    request: &Request,
    numbers: Range<u64>,
) -> Result<u64> {
    let mut function = begin(world, callgrind::command(program)).await?;
    for n in numbers {
        ask(world, &mut function, request, n).await?;
    }
    function.end().await?;
    callgrind::instructions(program)
}

async fn begin(world: &World, mut command: Command) -> Result<Function> {
    // What an earlier function has changed.
    world.restore();
    world.point(&mut command);
    let log = folder().join("work.log");
    let mut function = Function::start(command, None, &log).await?;
    function.initialised().await?;
    function.idle().await?;
    Ok(function)
}

/// Asks once; fails unless it was done.
async fn ask(world: &World, function: &mut Function, request: &Request, n: u64) -> Result<()> {
    if request.changes {
        world.restore();
    }
    let answer = function.invoke(&(request.event)(n)).await?;
    if !is_done(&answer) {
        bail!("not done: {answer}");
    }
    Ok(())
}

/// Whether an answer says that all of what was asked was done.
fn is_done(answer: &Value) -> bool {
    let status = answer["statusCode"].as_u64();
    let is_authorized = answer["isAuthorized"].as_bool();
    let failures = answer["batchItemFailures"].as_array();
    status.is_some_and(|status| (200..300).contains(&status))
        || is_authorized == Some(true)
        || failures.is_some_and(Vec::is_empty)
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_does_not_count_as_work() {
        for refused in [
            json!({ "statusCode": 401 }),
            json!({ "isAuthorized": false }),
            json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] }),
            json!({}),
        ] {
            assert!(!is_done(&refused), "{refused}");
        }
        assert!(is_done(&json!({ "statusCode": 200 })));
        assert!(is_done(&json!({ "isAuthorized": true })));
        assert!(is_done(&json!({ "batchItemFailures": [] })));
    }
}
