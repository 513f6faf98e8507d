//! Writes the `OpenAPI` document anew: `cargo run -p curfew-tests --bin openapi`.

fn main() -> std::io::Result<()> {
    std::fs::write(curfew_tests::openapi::PATH, curfew_tests::openapi::text())
}
