//! The command line; what it does lives in the library.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
