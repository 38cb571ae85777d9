//! `top`: how running instances are doing, redrawn in place.

mod picture;
mod unread;

use std::io;
use std::time::Duration;

use clap::Args;
use console::{Term, truncate_str};
use serde_json::Value;

use super::client::{Client, Connection, Unanswered, block_on, interrupted, nobody};
use super::print::say;
use super::{Failure, Report};
use picture::{Picture, Told};

/// Partitions, lag, frontier age and what is open by carrier, redrawn until Ctrl-C
///
/// Without a terminal, with --once and as JSON it is told once.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    connection: Connection,
    /// Pause between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    interval: f64,
    /// Look once
    #[arg(long)]
    once: bool,
    /// How to report
    #[arg(short = 'o', value_name = "FORMAT", default_value = "text")]
    report: Report,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.2..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it must be a number of seconds from 0.2 to 3600".to_owned()),
    }
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.connection)?;
    let screen = Screen { terminal: Term::buffered_stdout(), lines: 0 };
    let once = arguments.once || arguments.report == Report::Json || !screen.terminal.is_term();
    block_on(async {
        match once {
            true => tell(&look(&client).await, arguments.report),
            false => tokio::select! {
                ended = watch(&client, screen, arguments.interval) => ended,
                ended = interrupted() => ended,
            },
        }
    })
}

fn tell(picture: &Picture, report: Report) -> Result<(), Failure> {
    if picture.instances() == 0 {
        return Err(nobody(picture.unanswered()));
    }
    say(match report {
        Report::Text => picture.text(usize::MAX),
        Report::Json => picture.json().to_string(),
    })
}

async fn watch(client: &Client, mut screen: Screen, interval: f64) -> Result<(), Failure> {
    loop {
        let picture = look(client).await;
        screen.draw(&picture).map_err(|error| Failure::of_output("the terminal", &error))?;
        tokio::time::sleep(Duration::from_secs_f64(interval)).await;
    }
}

async fn look(client: &Client) -> Picture {
    let answers = client.each(|instance| async move {
        let by = [("by", "carrier")];
        let (partitions, summary) = tokio::join!(
            client.ask::<Value>(instance, &["partitions"], &[]),
            client.ask::<Value>(instance, &["summary"], &by),
        );
        let unreadable = |error: serde_json::Error| Unanswered::Silent {
            address: instance.address.clone(),
            why: format!("what it sent is not understood: {error}"),
        };
        Told::read(partitions?, summary?).map_err(unreadable)
    });
    Picture::of(answers.await)
}

struct Screen {
    terminal: Term,
    lines: usize,
}

impl Screen {
    fn draw(&mut self, picture: &Picture) -> io::Result<()> {
        let (height, width) = self.terminal.size();
        // The cursor needs a line below.
        let text = picture.text(usize::from(height).saturating_sub(1));
        self.terminal.move_cursor_up(self.lines)?;
        self.lines = 0;
        for line in text.lines().take(usize::from(height).saturating_sub(1)) {
            self.terminal.clear_line()?;
            self.terminal.write_line(&truncate_str(line, usize::from(width), "…"))?;
            self.lines += 1;
        }
        self.terminal.clear_to_end_of_screen()?;
        self.terminal.flush()
    }
}
