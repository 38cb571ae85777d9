//! A real Apache Kafka: one broker in KRaft mode on free ports of the loopback, data in a temporary
//! folder. It is on a leash: a shell waits on a pipe from this process and, once that is closed, by
//! whatever end this process comes to, kills the broker by its id and removes the folder.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::certificates::Certificates;
use crate::wait::until;

const START: Duration = Duration::from_secs(90);
const JVM: &[&str] = &["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// A user of the listeners that ask for one; it has no rights until it is given some.
pub const USER: &str = "clerk";
/// The user's password, by SCRAM-SHA-512.
pub const PASSWORD: &str = "clerk-secret";

const LEASH: &str = r#"
trap : INT TERM
"$@" </dev/null >>"$LOG" 2>&1 &
broker=$!
echo $broker
read -r last
[ "$last" = stopped ] || kill -KILL $broker
wait $broker
[ "$last" = stopped ] || rm -rf "$DIR"
"#;

/// A running broker. Stopped, and its data removed, when dropped.
pub struct Broker {
    dir: PathBuf,
    ports: Ports,
    certificates: Certificates,
    more: &'static str,
    leash: Option<Leash>,
}

struct Ports {
    plain: u16,
    sasl: u16,
    tls: u16,
    mtls: u16,
    controller: u16,
}

struct Leash {
    shell: Child,
    broker: u32,
}

/// The broker that all tests of this process share.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start)
}

/// A port of the loopback that nobody listens on. None that the system gives to connections, or one
/// could have it before a server does; and none that was given out before.
pub fn free_port() -> u16 {
    const PORTS: Range<u32> = 16_384..32_768;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Other processes begin elsewhere.
    let first = process::id().wrapping_mul(0x9e37_79b9);
    loop {
        let next = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (PORTS.start + next % (PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The project's folder.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Sends a signal, named without SIG, to one process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.expect("kill can be run").success(), "kill -{name} {pid} failed");
}

impl Broker {
    /// A new broker, ready to be asked.
    pub fn start() -> Self {
        Self::with("")
    }

    /// A new broker with lines of settings that count more than ours.
    pub fn with(more: &'static str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("stallwatch-kafka-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let [plain, sasl, tls, mtls, controller] = [(); 5].map(|()| free_port());
        let ports = Ports { plain, sasl, tls, mtls, controller };
        let certificates = Certificates::make(&dir);
        let mut broker = Self { dir, ports, certificates, more, leash: None };
        broker.write_tools();
        fs::write(broker.dir.join("log4j2.properties"), LOG_SETTINGS).expect("written");
        fs::write(broker.properties(), broker.settings()).expect("written");
        broker.format();
        broker.run();
        broker
    }

    /// Address of the listener where everybody may do everything.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// Address of the listener that asks for user and password, by SCRAM.
    pub fn sasl_bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.sasl)
    }

    /// Address of the listener that asks for user and password, by SCRAM over TLS.
    pub fn tls_bootstrap(&self) -> String {
        format!("localhost:{}", self.ports.tls)
    }

    /// Address of the listener that asks for a certificate of its authority.
    pub fn mtls_bootstrap(&self) -> String {
        format!("localhost:{}", self.ports.mtls)
    }

    /// A certificate or key, as [`Certificates`] names it.
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.certificates.file(name)
    }

    /// Runs lines of a shell in which `kafka-acls.sh` and `kafka-topics.sh` are Kafka's own tools;
    /// what they print.
    pub fn shell(&self, lines: &str) -> String {
        let path = std::env::var("PATH").expect("a PATH");
        let mut command = Command::new("sh");
        command.args(["-euc", lines]).current_dir(&self.dir);
        command.env("PATH", format!("{}/bin:{path}", self.dir.display()));
        String::from_utf8(run_tool(&mut command)).expect("UTF-8")
    }

    /// The folder of Kafka's own tools.
    #[allow(dead_code, reason = "not for tests/chaos")]
    pub fn tools(&self) -> PathBuf {
        self.dir.join("bin")
    }

    fn write_tools(&self) {
        let bin = self.tools();
        fs::create_dir(&bin).expect("a folder");
        let libs = project().join(".cache/kafka/libs");
        for (name, class) in [
            ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
            ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
            ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
            ("kafka-transactions.sh", "org.apache.kafka.tools.TransactionsCommand"),
        ] {
            let file = bin.join(name);
            let text = format!(
                "#!/bin/sh\nexec java {} -cp '{}/*' {class} \"$@\"\n",
                JVM.join(" "),
                libs.display()
            );
            fs::write(&file, text).expect("written");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&file, mode).expect("a program");
        }
        // How an administrator logs in: on the listener without a login, not at all.
        fs::write(self.dir.join("admin.properties"), "").expect("written");
    }

    /// Stops every thread of the broker, connections stay open; until [`Self::resume`].
    pub fn pause(&self) {
        signal(self.pid(), "STOP");
    }

    /// Goes on after [`Self::pause`].
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    /// Ends the broker in order and starts it on the same data and ports.
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    /// Ends the broker in order; its data stays for [`Self::run`].
    pub fn stop(&mut self) {
        let mut leash = self.leash.take().expect("a broker runs");
        signal(leash.broker, "TERM");
        let mut stdin = leash.shell.stdin.take().expect("the leash has an end to hold");
        writeln!(stdin, "stopped").expect("the leash listens");
        until(
            "the broker stops",
            Duration::from_secs(60),
            || leash.shell.try_wait().expect("a child can be asked"),
            || self.log_tail(),
        );
    }

    /// The folder of its data, and its log.
    #[allow(dead_code, reason = "for tests/chaos")]
    pub fn data_and_log(&self) -> [PathBuf; 2] {
        ["data", "broker.log"].map(|name| self.dir.join(name))
    }

    fn pid(&self) -> u32 {
        self.leash.as_ref().expect("a broker runs").broker
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn settings(&self) -> String {
        let Ports { plain, sasl, tls, mtls, controller } = self.ports;
        let dir = self.dir.display();
        format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls},MTLS://127.0.0.1:{mtls},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://localhost:{tls},MTLS://localhost:{mtls}\n\
             listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SASL_SSL,MTLS:SSL,CONTROLLER:PLAINTEXT\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={dir}/broker.both\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={dir}/ca.pem\n\
             log.dirs={dir}/data\n\
             {SETTINGS}{more}",
            more = self.more
        )
    }

    fn format(&self) {
        let mut command = self.java();
        command.args(["kafka.tools.StorageTool", "format", "--standalone"]);
        command.args(["--cluster-id", "stallwatch-test-broker", "--config"]).arg(self.properties());
        let user = format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]");
        run_tool(command.args(["--add-scram", &user]));
    }

    fn java(&self) -> Command {
        let libs = project().join(".cache/kafka/libs");
        assert!(libs.is_dir(), "Apache Kafka is not in .cache/kafka: run ./test setup first");
        let mut command = Command::new("java");
        command.args(JVM).arg("-cp").arg(libs.join("*"));
        command.arg(format!("-Dlog4j2.configurationFile={}/log4j2.properties", self.dir.display()));
        command
    }

    /// Starts the broker after [`Self::stop`], on the same data and ports, and waits until it answers.
    pub fn run(&mut self) {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.properties());
        let mut shell = Command::new("sh")
            .args(["-c", LEASH, "leash"])
            .arg(java.get_program())
            .args(java.get_args())
            .env("LOG", self.dir.join("broker.log"))
            .env("DIR", &self.dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be run");
        let mut line = String::new();
        let mut said = BufReader::new(shell.stdout.take().expect("piped"));
        said.read_line(&mut line).expect("the leash names the broker's process");
        let broker = line.trim().parse().expect("a process id");
        self.leash = Some(Leash { shell, broker });
        self.wait_ready();
    }

    fn wait_ready(&self) {
        let probe: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap())
            .set("log_level", "0")
            .create()
            .expect("a client");
        until(
            "the broker answers",
            START,
            || {
                let metadata = probe.fetch_metadata(None, Duration::from_secs(1)).ok()?;
                (!metadata.brokers().is_empty()).then_some(())
            },
            || self.log_tail(),
        );
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.dir.join("broker.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            drop(leash.shell.stdin.take());
            let _ = leash.shell.wait();
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Runs a tool to its end; what it printed.
fn run_tool(command: &mut Command) -> Vec<u8> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!("{name} cannot be run ({error}): ./test setup names what is missing")
    });
    assert!(
        output.status.success(),
        "{name} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// One node, quick to start, quick to give up on clients that went away.
const SETTINGS: &str = "\
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.tls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mtls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
controlled.shutdown.enable=false
";

const LOG_SETTINGS: &str = "\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
logger.transactions.name = kafka.coordinator.transaction
logger.transactions.level = info
rootLogger.appenderRef.out.ref = out
";
