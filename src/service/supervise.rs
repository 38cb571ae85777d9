//! Work on a thread of its own, so that it has an end in any case: calls into the Kafka client, and
//! its destructors, may wait for ever.

use std::panic::resume_unwind;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::clock::Stopwatch;
use super::{ServiceError, Shutdown};

/// How long destructors may take once all is said.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether the work is over.
const LOOK: Duration = Duration::from_millis(20);

/// What work comes to.
type Outcome = Result<(), ServiceError>;

/// Does some work, which tells its outcome before it lets go of what it holds, and is left behind
/// where it does not end: so long after its outcome, or after the deadline of a stop.
pub fn supervised(
    deadline: Duration,
    shutdown: &Shutdown,
    work: impl FnOnce(&dyn Fn(Outcome)) + Send + 'static,
) -> Outcome {
    let (tell, told) = bounded(1);
    let working = std::thread::Builder::new().name("service".to_owned()).spawn(move || {
        work(&|outcome| drop(tell.send(outcome)));
    })?;
    let (mut outcome, mut since_outcome, mut since_stop) = (None, None, None);
    loop {
        let over = working.is_finished();
        if let Ok(told) = told.try_recv() {
            outcome = Some(told);
            since_outcome = Some(Stopwatch::start());
        }
        if over {
            return match working.join() {
                Ok(()) => outcome.unwrap_or(Err(ServiceError::Deadline(deadline))),
                Err(panic) => resume_unwind(panic),
            };
        }
        if shutdown.requested() {
            since_stop.get_or_insert_with(Stopwatch::start);
        }
        let longer =
            |since: &Option<Stopwatch>, limit| since.is_some_and(|it| it.elapsed() > limit);
        if longer(&since_outcome, GRACE) || longer(&since_stop, deadline + GRACE) {
            tracing::warn!(
                "the Kafka client, or a file that is read, does not end: it is left behind"
            );
            return outcome.unwrap_or(Err(ServiceError::Deadline(deadline)));
        }
        std::thread::park_timeout(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    #[test]
    fn the_outcome_of_work_that_ends_is_its_own() {
        assert!(supervised(NO_TIME, &Shutdown::default(), |tell| tell(Ok(()))).is_ok());
        let failed = || Err(ServiceError::Broker("gone".to_owned()));
        let outcome = supervised(NO_TIME, &Shutdown::default(), move |tell| tell(failed()));
        assert_eq!(outcome.unwrap_err().to_string(), "gone");
    }

    #[test]
    fn destructors_without_an_end_are_left_behind_with_the_outcome_that_was_told() {
        let (_held, held) = bounded::<()>(0);
        let outcome = supervised(NO_TIME, &Shutdown::default(), move |tell| {
            tell(Ok(()));
            let _ = held.recv();
        });
        assert!(outcome.is_ok());
    }

    #[test]
    fn work_that_is_told_to_stop_and_does_not_is_left_behind_as_not_committed() {
        let (_held, held) = bounded::<()>(0);
        let shutdown = Shutdown::default();
        shutdown.request();
        let outcome = supervised(NO_TIME, &shutdown, move |_| {
            let _ = held.recv();
        });
        assert!(matches!(outcome, Err(ServiceError::Deadline(NO_TIME))));
    }

    #[test]
    fn a_panic_is_handed_on() {
        let panicking = || supervised(NO_TIME, &Shutdown::default(), |_| panic!("broken"));
        assert!(std::panic::catch_unwind(panicking).is_err());
    }
}
