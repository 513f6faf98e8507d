//! Starts every function the same way: configuration, clients, logs, clock,
//! randomness and the loop that takes requests from Lambda.
//!
//! Owns every read of the environment, the wall clock and the system's randomness, and
//! every AWS client. Refuses the SDK's defaults, which are nine tenths of the cost of a
//! start: no `aws-config` (Lambda puts the credentials and the region into the
//! environment), no reading of the system's certificates (Amazon's own roots are
//! compiled in), no client before it is needed.

mod batch;
mod clients;
mod clock;
mod environment;
mod hashing;
mod https;
mod run;
mod settings;

pub use batch::{NoTimeLeft, return_failed, within};
pub use clients::{CALL_TIMEOUT, Calls, Clients, RetryPolicy};
pub use clock::{Clock, elapsed_us};
pub use environment::{ConfigError, flag, header_names, number, optional, required};
pub use hashing::PasswordHasher;
pub use run::{Error, run, run_with_warmup, try_run};
pub use settings::{
    allowed_origins, budget, external_verification, limits, origin_policy, password_hasher,
    password_rules, product, sign_in_budgets, sign_in_codes, uncounted_networks,
    unproven_sign_outs, verification_policy,
};

// The system's allocator took one instruction in six of a check. The cost of this one
// at start-up is in infra/docs/decisions.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fills an array with bytes from the system's CSPRNG.
///
/// # Panics
/// If the system has no randomness: without it, nothing is safe.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where randomness is read"
    )]
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Locks a mutex, poisoned or not: a handler that panicked left nothing in it that
/// the next one could not use.
pub fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
