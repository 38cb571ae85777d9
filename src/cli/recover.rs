//! `recover`: an operator's answer to a partition that has halted.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use stallwatch::protocol::agree::Accept;
use stallwatch::service::recover::{Recovered, recover};

use super::Failure;

/// Lets a partition go on that has halted and says what must be accepted
///
/// The answer is written to the open topic. It is about what is stored at this moment: with the
/// next commit it means nothing any more, and given twice it means the same.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file of the service
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The partition of the input
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// What is accepted, as the halt names it
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = PossibleValuesParser::new(Accept::ALL.iter().map(|accept| accept.as_str()))
    )]
    accept: String,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(&arguments.config)?;
    let accept = Accept::parse(&arguments.accept)
        .ok_or_else(|| Failure::Usage(format!("`{}` is no answer", arguments.accept)))?;
    let partition = arguments.partition;
    let recovered =
        recover(&config, partition, accept).map_err(|error| Failure::Failed(error.to_string()))?;
    let what = accept.as_str();
    super::print::say(match recovered {
        Recovered::AlreadyAnswered => format!("partition {partition}: {what} was accepted before"),
        Recovered::Answered(durable) => format!(
            "partition {partition}: {what} is accepted (log {} to {}, cut {}, group offset {}); a running instance goes on within seconds",
            durable.log_start,
            durable.log_end,
            durable.cut.map_or("none".to_owned(), |cut| cut.offset.to_string()),
            durable.group.map_or("none".to_owned(), |(offset, _)| offset.to_string()),
        ),
    })
}
