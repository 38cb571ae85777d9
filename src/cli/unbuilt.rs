//! Verbs that are planned: asked for, they say that they are not built yet.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::Failure;

#[derive(Subcommand)]
#[command(hide = true)]
pub enum Verb {
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Run(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Demo(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Recover(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Doctor(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Topics(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Acls(Anything),
    #[command(hide = true)]
    Test(Anything),
    #[command(hide = true)]
    Explain(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Get(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Top(Anything),
    #[cfg(not(feature = "kafka"))]
    #[command(hide = true)]
    Tap(Anything),
    #[command(hide = true)]
    Dlq(Anything),
}

/// Whatever stands behind the verb.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<OsString>,
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    let name = match verb {
        #[cfg(not(feature = "kafka"))]
        Verb::Run(_)
        | Verb::Demo(_)
        | Verb::Recover(_)
        | Verb::Get(_)
        | Verb::Top(_)
        | Verb::Tap(_)
        | Verb::Doctor(_)
        | Verb::Topics(_)
        | Verb::Acls(_) => {
            let message = "this build has no Kafka client; build it with the feature `kafka`";
            return Err(Failure::Usage(message.to_owned()));
        }
        Verb::Test(_) => "test",
        Verb::Explain(_) => "explain",
        Verb::Dlq(_) => "dlq",
    };
    Err(Failure::Usage(format!("`stallwatch {name}` is not built yet; see `stallwatch --help`")))
}
