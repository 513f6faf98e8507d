//! Random moments: numbers that can be had again, and threads that act at them.

/// Random numbers that can be had again (xorshift64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Of 0 comes nothing but 0.
        Self(seed | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no 64 bits")]
    pub fn share(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of some.
    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        let at = self.below(among.len() as u64);
        among[usize::try_from(at).expect("an index")]
    }
}

/// Runs something to its end on a runtime of this thread's own.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
