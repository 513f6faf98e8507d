//! What a warm request costs a function: processor time and instructions. The tables and
//! everything else are in another process.

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
const WARM_UP: u64 = 20;
/// Requests in each group, and groups.
const GROUP: u32 = 20;
const GROUPS: u64 = 7;
/// The request after which resident memory is read, at the end of a group.
const RESIDENT_AFTER: u64 = 100;
/// Requests are numbered, and each run begins with a number of its own.
const NUMBERS: u64 = 1_000_000;

#[derive(Serialize)]
struct Figures {
    function: String,
    request: String,
    /// The calls of one request, in order.
    calls: Vec<String>,
    /// Processor time of a warm request, in microseconds: the median of the groups.
    processor_us: f64,
    /// Processor time of the first request.
    first_processor_us: f64,
    /// Instructions of a warm request.
    instructions: u64,
    /// Instructions from the start to the first answer with its calls, until it is idle.
    first_instructions: u64,
    /// Resident memory after 100 requests.
    resident_bytes: u64,
}

/// Builds the functions, and measures and counts their requests.
pub async fn run(builder: &Builder, functions: &[String]) -> Result<()> {
    callgrind::required().await?;
    let programs = builder.functions(functions).await?;
    let world = Box::pin(World::new()).await?;
    let mut figures = Vec::new();
    for (n, program) in programs.iter().enumerate() {
        eprintln!("work: {} of {}, {} …", n + 1, programs.len(), program.name);
        let request = world.request(&program.name)?;
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
            it.request.clone(),
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
        ask(world, &mut function, request, n).await?;
    }
    let mut groups = Vec::new();
    let mut resident_bytes = 0;
    for group in 0..GROUPS {
        let from = WARM_UP + group * u64::from(GROUP);
        let to = from + u64::from(GROUP);
        let before = function.processor_time()?;
        for n in from..to {
            ask(world, &mut function, request, n).await?;
        }
        let spent = function.processor_time()?.saturating_sub(before);
        groups.push(us(spent / GROUP));
        if to == RESIDENT_AFTER {
            resident_bytes = function.resident_bytes()?;
        }
    }
    function.end().await?;
    Ok(Figures {
        function: program.name.clone(),
        request: request.what.clone(),
        calls,
        processor_us: median(groups),
        first_processor_us: us(first),
        instructions: instructions(world, program, request).await?,
        first_instructions: counted(world, program, request, 1).await?,
        resident_bytes,
    })
}

/// Returns the instructions of a warm request.
pub async fn instructions(world: &World, program: &Program, request: &Request) -> Result<u64> {
    const FEW: u64 = 3;
    const MANY: u64 = 8;
    let few = counted(world, program, request, FEW).await?;
    let many = counted(world, program, request, MANY).await?;
    Ok(many.saturating_sub(few) / (MANY - FEW))
}

/// Returns the instructions from the start to the end of so many requests. Counts again
/// when a call timed out and was retried, as happens on a busy machine.
async fn counted(world: &World, program: &Program, request: &Request, times: u64) -> Result<u64> {
    const TRIES: u64 = 4;
    for attempt in 1..=TRIES {
        let _before = world.services.take_calls();
        let first = (TRIES * times + attempt) * NUMBERS;
        let instructions = count(world, program, request, first..first + times).await;
        let calls = world.services.take_calls().len() as u64;
        match instructions {
            Ok(instructions) if calls.is_multiple_of(times) => return Ok(instructions),
            Err(error) if attempt == TRIES => return Err(error.context(too_busy(program))),
            Err(error) => eprintln!("{}: {error:#}; counting again", program.name),
            Ok(_) => eprintln!("{}: a call was retried; counting again", program.name),
        }
    }
    bail!("{}: each of {TRIES} runs retried a call", too_busy(program))
}

fn too_busy(program: &Program) -> String {
    let name = &program.name;
    format!(
        "{name} can't be counted while the machine is so busy. Stop what else runs on it, and run this again"
    )
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

/// Starts a function over rows that no earlier function has changed.
async fn begin(world: &World, mut command: Command) -> Result<Function> {
    world.restore();
    world.point(&mut command);
    let log = folder().join("work.log");
    let mut function = Function::start(command, None, &log).await?;
    function.initialised().await?;
    function.idle().await?;
    Ok(function)
}

/// Sends the request once. Fails unless it succeeds.
async fn ask(world: &World, function: &mut Function, request: &Request, n: u64) -> Result<()> {
    if request.changes {
        world.restore();
    }
    let answer = function.invoke(&(request.event)(n)).await?;
    if !is_success(&answer) {
        bail!("a request failed: {answer}");
    }
    Ok(())
}

/// Returns whether everything that was asked for was done.
fn is_success(answer: &Value) -> bool {
    let status = answer["statusCode"].as_u64();
    let is_authorized = answer["isAuthorized"].as_bool();
    let failures = answer["batchItemFailures"].as_array();
    // A function that AWS calls without waiting returns nothing, or fails.
    answer.is_null()
        || status.is_some_and(|status| (200..300).contains(&status))
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
    fn a_refusal_is_no_success() {
        for refused in [
            json!({ "statusCode": 401 }),
            json!({ "isAuthorized": false }),
            json!({ "batchItemFailures": [{ "itemIdentifier": "m" }] }),
            json!({}),
        ] {
            assert!(!is_success(&refused), "{refused}");
        }
        assert!(is_success(&Value::Null));
        assert!(is_success(&json!({ "statusCode": 200 })));
        assert!(is_success(&json!({ "isAuthorized": true })));
        assert!(is_success(&json!({ "batchItemFailures": [] })));
    }
}
