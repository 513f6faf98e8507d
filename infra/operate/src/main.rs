//! `operate`: ends sessions, disables and enables accounts, and removes lost factors, for an
//! operator.
//!
//! Takes the credentials and the Region from the environment, and the tables from options,
//! so that it works on restored tables, too. Every end of sessions is one transaction with its
//! record, as the API's own: devices are refused with the reason, and wipe. Acts can be repeated.

use std::future::ready;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use domain::{Account, AccountId, EmailAddress, FactorId, Limits, SignOut};
use futures_util::StreamExt;
use futures_util::stream;
use jiff::SignedDuration;
use runtime::{Clients, Clock};
use store::{Store, StoreError, Tables, WriteOutcome};

/// The time to keep the record of a sign-out: the longest idle limit that a stack may have.
/// A session that has been idle for so long is refused without the record.
const KEEP: SignedDuration = SignedDuration::from_hours(24 * 365);
/// The accounts that `--all` works on at once.
const AT_ONCE: usize = 32;
/// The attempts of one act. Only another act on the same account makes one fail.
const ATTEMPTS: u32 = 5;

/// Ends sessions, disables and enables accounts, and removes lost factors.
#[derive(Parser)]
struct Arguments {
    /// The name of the table of accounts.
    #[arg(long)]
    accounts: String,
    /// The name of the table of receipts.
    #[arg(long)]
    receipts: String,
    /// The name of the table of identities, to find an account by its address.
    #[arg(long, default_value = "")]
    identities: String,
    /// The name of the table of factors, to remove them.
    #[arg(long, default_value = "")]
    factors: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Disables an account and ends its sessions. Nobody can sign in to it.
    Disable {
        /// The account's e-mail address or id.
        who: String,
    },
    /// Enables a disabled account. No earlier session comes back.
    Enable {
        /// The account's e-mail address or id.
        who: String,
    },
    /// Removes every authenticator app and recovery code of an account whose owner has lost them.
    RemoveFactors {
        /// The account's e-mail address or id.
        who: String,
    },
    /// Ends every session of an account, or of all accounts. Owners can sign in again.
    EndSessions {
        /// The account's e-mail address or id.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        who: Option<String>,
        /// End the sessions of every account in the table.
        #[arg(long)]
        all: bool,
        /// Continue after this id, which an interrupted `--all` printed.
        #[arg(long, requires = "all")]
        after: Option<String>,
        /// Print the progress after this many accounts.
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..))]
        page_size: i32,
    },
}

/// The tables, and the clock.
struct Operator {
    store: Store,
    clock: Clock,
    limits: Limits,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let tables = Tables {
        accounts: arguments.accounts,
        receipts: arguments.receipts,
        identities: arguments.identities.clone(),
        factors: arguments.factors.clone(),
        ..Tables::default()
    };
    let operator = Operator {
        store: Store::new(Clients::from_environment()?.dynamodb(), tables),
        clock: Clock::System,
        limits: Limits {
            idle: KEEP,
            ..Limits::default()
        },
    };
    let has_identities = !arguments.identities.is_empty();
    match arguments.command {
        Command::Disable { who } => {
            let account = operator.find(&who, has_identities).await?;
            operator.disable(account).await?;
            println!("{account} is disabled, and its sessions have ended.");
        }
        Command::Enable { who } => {
            let account = operator.find(&who, has_identities).await?;
            operator.enable(account).await?;
            println!("{account} is enabled.");
        }
        Command::RemoveFactors { who } => {
            if arguments.factors.is_empty() {
                bail!("name the table of the factors: --factors NAME");
            }
            let account = operator.find(&who, has_identities).await?;
            let count = operator.remove_factors(account).await?;
            println!("The factors of {account} are removed. Authenticator apps: {count}.");
        }
        Command::EndSessions { who: Some(who), .. } => {
            let account = operator.find(&who, has_identities).await?;
            operator.end_sessions(account).await?;
            println!("The sessions of {account} have ended.");
        }
        Command::EndSessions {
            after, page_size, ..
        } => return operator.end_all(after, page_size).await,
    }
    Ok(ExitCode::SUCCESS)
}

impl Operator {
    /// Returns the id of an account by its address or its id.
    async fn find(&self, who: &str, has_identities: bool) -> Result<AccountId> {
        if let Ok(id) = who.parse() {
            return Ok(id);
        }
        let email = EmailAddress::parse(who)
            .map_err(|_| anyhow!("{who:?} is neither an e-mail address nor an id"))?;
        if !has_identities {
            bail!("to find an address, name the table: --identities NAME");
        }
        let found = self.store.account_by_email(&email).await.map_err(chain)?;
        found.with_context(|| format!("no account has the address {who}"))
    }

    async fn account(&self, id: AccountId) -> Result<Account> {
        let rows = self.store.rows(id, &[]).await.map_err(chain)?;
        rows.account.with_context(|| format!("no account {id}"))
    }

    async fn disable(&self, id: AccountId) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let account = self.account(id).await?;
            let sign_out = SignOut::of_disabled(&account, self.clock.now(), runtime::random());
            let disabled = self.store.disable(&account, &sign_out, &self.limits).await;
            if disabled.map_err(chain)? == WriteOutcome::Done {
                return Ok(());
            }
        }
        bail!("other acts on {id} got in the way: try again")
    }

    /// Ends the sessions before it enables the account: if its row was changed by hand, they
    /// would come back.
    async fn enable(&self, id: AccountId) -> Result<()> {
        if self.account(id).await?.disabled_at.is_none() {
            return Ok(());
        }
        self.end_sessions(id).await?;
        self.store.enable(id).await.map_err(chain)?;
        Ok(())
    }

    async fn end_sessions(&self, id: AccountId) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let account = self.account(id).await?;
            let sign_out = SignOut::by_operator(&account, self.clock.now(), runtime::random());
            let ended = self.store.end_sessions(&sign_out, &self.limits).await;
            if ended.map_err(chain)? == WriteOutcome::Done {
                return Ok(());
            }
        }
        bail!("other acts on {id} got in the way: try again")
    }

    /// Removes the factors. Returns the number of authenticator apps that there were.
    async fn remove_factors(&self, id: AccountId) -> Result<usize> {
        for _ in 0..ATTEMPTS {
            let account = self.account(id).await?;
            let attempt = FactorId::new(self.clock.now(), runtime::random());
            let removed = self.store.remove_factors(&account, attempt).await;
            if removed.map_err(chain)? == WriteOutcome::Done {
                return Ok(account.factors.len());
            }
        }
        bail!("other acts on {id} got in the way: try again")
    }

    /// Ends the sessions of every account, page after page. Goes on after a failure, and
    /// prints the accounts that are left.
    async fn end_all(&self, mut after: Option<String>, page_size: i32) -> Result<ExitCode> {
        let (mut ended, mut left) = (0_usize, 0_usize);
        loop {
            let page = self.store.account_page(after.as_deref(), page_size).await;
            let page = page
                .map_err(chain)
                .with_context(|| go_on(after.as_deref()))?;
            let malformed = page.malformed.iter();
            let mut failures: Vec<_> = malformed
                .map(|key| (key.clone(), "not an id".to_owned()))
                .collect();
            let found = page.accounts.len();
            let failed = stream::iter(page.accounts)
                .map(|id| async move { (id, self.end_sessions(id).await) })
                .buffer_unordered(AT_ONCE)
                .filter_map(|(id, end)| {
                    ready(
                        end.err()
                            .map(|error| (id.to_string(), format!("{error:#}"))),
                    )
                });
            let failed: Vec<_> = failed.collect().await;
            ended += found - failed.len();
            failures.extend(failed);
            left += failures.len();
            for (account, error) in failures {
                eprintln!("left: {account}: {error}");
            }
            after = page.next;
            match &after {
                Some(last) => eprintln!("{ended} accounts done, {left} left, up to {last}"),
                None => break,
            }
        }
        println!("The sessions of {ended} accounts have ended. {left} accounts are left.");
        Ok(ExitCode::from(u8::from(left > 0)))
    }
}

/// Returns how to go on after a page could not be read.
fn go_on(after: Option<&str>) -> String {
    match after {
        Some(after) => format!("interrupted; go on with --all --after {after}"),
        None => "nothing was done".to_owned(),
    }
}

/// Returns an error with the text of every source below it.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn chain(error: StoreError) -> anyhow::Error {
    anyhow!(error.chain())
}
