//! `demo`: three simulated weeks of a carrier network through the real service, no Kafka needed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use stallwatch::config::LogFormat;
use stallwatch::demo::broker::EXCEPTIONS;
use stallwatch::demo::network::{MOST_PACKAGES, Network, Settings};
use stallwatch::demo::policies;
use stallwatch::demo::show::{DemoError, Show};
use stallwatch::demo::stage::{GROUP_ID, INSTANCE_ID, Stage};
use stallwatch::demo::summary::Summary;
use stallwatch::replay::grouped;
use tracing_subscriber::EnvFilter;

use super::logging::{self, Instance, Traces};
use super::print::{note, say};
use super::{Failure, Report};

/// What is worth a line on the screen: what goes wrong, a collector of traces that is away too.
const LEVELS: &str = "error,stallwatch::cli::logging=warn";

/// Show it at work on a simulated carrier network; needs no Kafka
///
/// Plays three weeks in less than a minute on a broker inside this process, and compares what was
/// detected with what the simulation knows it did. Ends with 1 if anything was missed or invented.
#[derive(Args)]
pub struct Arguments {
    /// Tracking numbers in the network
    #[arg(long, value_name = "N", default_value_t = 30_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_PACKAGES)))]
    packages: u32,
    /// Simulated seconds in a real second, as far as the machine keeps up
    #[arg(long, value_name = "X", default_value_t = 50_000.0, value_parser = speed)]
    speed: f64,
    /// The same seed gives the same network
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Partitions of the topic of scans
    #[arg(long, value_name = "N", default_value_t = 8)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=64))]
    partitions: i32,
    /// Keep broker and page up at the end, until Ctrl-C
    #[arg(long)]
    hold: bool,
    /// Where the page is; a free port where nothing is given
    #[arg(long, value_name = "HOST:PORT", value_parser = loopback)]
    page: Option<SocketAddr>,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (1.0..=10_000_000.0).contains(&speed) => Ok(speed),
        _ => Err("it must be a number from 1 to 10000000".to_owned()),
    }
}

/// The demo's page asks nobody for a token.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() && address.port() != 0 => Ok(address),
        _ => Err("it must be a loopback address with its port, such as 127.0.0.1:9464".to_owned()),
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let instance = Instance { group_id: GROUP_ID, instance_id: INSTANCE_ID };
    let traces = logging::start(LogFormat::Text, EnvFilter::new(LEVELS), &instance);
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, interrupted.clone())
            .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
            .map_err(|error| Failure::Failed(format!("signals cannot be handled: {error}")))?;
    }
    let summary = play(arguments, &traces, &interrupted)?;
    match summary.is_clean() {
        true => Ok(()),
        false => Err(Failure::Failed("the ledger and the detector do not agree".to_owned())),
    }
}

fn play(
    arguments: &Arguments,
    traces: &Traces,
    interrupted: &AtomicBool,
) -> Result<Summary, Failure> {
    let Arguments { packages, seed, partitions, .. } = *arguments;
    let settings = Settings { seed, packages, partitions };
    note(format_args!(
        "Simulating three weeks of a carrier network: {} packages, seed {seed}.",
        grouped(u64::from(packages))
    ));
    let network = Network::simulate(settings);
    let policies = Arc::new(policies());
    let stage = Stage::open(partitions, policies.clone(), arguments.page).map_err(failed)?;
    introduce(&stage);
    let bootstrap_servers = stage.bootstrap_servers();
    let show = Show {
        settings,
        network: &network,
        policies: &policies,
        bootstrap_servers: &bootstrap_servers,
        clock: stage.clock(),
        watched: stage.performer(),
        interrupted,
        traced: traces.are_exported(),
    };
    let summary = show.play(arguments.speed).map_err(failed)?;
    say(match arguments.report {
        Report::Text => format!("\n{}", summary.text()),
        Report::Json => summary.json().to_string(),
    })?;
    if arguments.hold {
        note(format_args!("\nBroker and page stay up until Ctrl-C:\n{}", addresses(&stage)));
        while !interrupted.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
    stage.close().map_err(failed)?;
    Ok(summary)
}

fn introduce(stage: &Stage) {
    note(format_args!(
        "The broker is the one that librdkafka embeds. It fakes transactions: the guards against zombies and lost commits, which it cannot answer, are off.\n{}\n",
        addresses(stage)
    ));
}

fn addresses(stage: &Stage) -> String {
    let (broker, page, probes) = (stage.bootstrap_servers(), stage.page(), stage.probes());
    format!(
        "  look in:  http://{page}/\n            stallwatch top --address {page}\n            kcat -b {broker} -t {EXCEPTIONS} -C -o beginning -e -f '%k  %h\\n'\n  metrics:  http://{probes}/metrics"
    )
}

fn failed(error: DemoError) -> Failure {
    Failure::Failed(error.to_string())
}
