# Commands that people repeat. CONTRIBUTING.md has each as a plain command.

# List the recipes.
default:
    @just --list

# Format and lint.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Run all tests.
test:
    cargo test --workspace

# Run one module of the suite: `just suite http::`.
suite module:
    cargo test --workspace --test suite {{module}}

# Regenerate the OpenAPI and AsyncAPI documents.
documents:
    cargo run --bin documents

# Start the local stack on http://127.0.0.1:9400.
up:
    cargo run

# Play the story on the running stack, or on a new one.
story:
    cargo run -- story

# Sign in a device in this terminal.
device name="Laptop":
    cargo run -- device --name "{{name}}"

# Compare instructions and sizes with the limits.
gate:
    cargo run -p bench -- gate

# Run everything that a change has to pass.
ci:
    .ci/run
