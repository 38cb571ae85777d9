use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::config::Environment;
use crate::service::status::PartitionStatus;
use crate::wire::scan::SCAN_SCHEMA;

const ID: UnknownSchema = UnknownSchema { mark: Mark::Id(9) };
const NO_SUCH: &str = r#"{"error_code":40403,"message":"Schema 9 not found"}"#;

/// The product's schema under another name, so that it has another fingerprint.
fn another() -> String {
    SCAN_SCHEMA.replacen("\"Scan\"", "\"AcmeScan\"", 1)
}

/// A folder of schemas, and settings that name it.
struct Setup {
    folder: TempDir,
    status: Arc<Status>,
}

impl Setup {
    fn new() -> Self {
        let status = Status::new(1);
        status.partitions.insert(3, PartitionStatus::restoring());
        Self { folder: tempfile::tempdir().unwrap(), status }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn schemas(&self, patience: &str, input: &str, registry: &str) -> Arc<Schemas> {
        let text = format!(
            "[kafka]\nbootstrap_servers = \"b:1\"\ngroup_id = \"g\"\npatience = \"{patience}\"\n[input]\nschema_files = \"{}\"\n{input}\n[schema_registry]\n{registry}\n[policies]\nfile = \"p\"",
            self.folder.path().display()
        );
        let config = Config::parse("c", &text, Path::new(""), &Environment::ignored()).unwrap();
        Schemas::new(&config, self.status.clone()).unwrap()
    }

    fn waits_for(&self) -> Option<String> {
        self.status.partitions.get(&3).unwrap().waits_for.clone()
    }
}

/// A registry that gives one answer after the other, to one question each, then no more.
fn registry(answers: &[(u16, String)]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("url = \"http://{}/\"", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let asked = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            asked.push(lines.next().unwrap().unwrap());
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
        asked
    });
    (url, asked)
}

/// Has the registry asked at once, whatever it said before.
fn ask(schemas: &Schemas) {
    let registry = schemas.registry.as_ref().unwrap();
    registry.forget_pauses();
    schemas.ask(&registry.client().unwrap());
}

#[test]
fn a_schema_that_comes_into_the_folder_is_known_once_that_is_read_anew() {
    let setup = Setup::new();
    let schemas = setup.schemas("0s", "", "");
    let text = another();
    let source = SchemaSource { name: "another", text: &text, id: None };
    let others = WriterSchemas::of([source]).unwrap();
    let mark = others.names().next().unwrap().1[0];
    let unknown = UnknownSchema { mark };
    assert_eq!(schemas.look(3, 17, unknown, true), Verdict::Waits, "patience is the registry's");
    let told = setup.waits_for().unwrap();
    assert!(
        told.starts_with("offset 17: the record was written with the schema of finger"),
        "{told}"
    );
    assert!(told.contains("add the writer's schema to input.schema_files"), "{told}");
    setup.write("another.avsc", "{");
    let problems = schemas.reload(Asked::Request).unwrap_err();
    assert!(problems[0].name.ends_with("another.avsc"), "{problems:?}");
    assert!(!schemas.get().knows(mark));
    setup.write("another.avsc", &text);
    let read = schemas.reload(Asked::File).unwrap();
    assert!(read.changed && read.schemas.knows(mark) && schemas.get().knows(mark));
    assert!(!schemas.reload(Asked::Signal).unwrap().changed);
    schemas.goes_on(3);
    assert_eq!(setup.waits_for(), None);
}

#[test]
fn a_decoder_is_given_what_is_known_once_for_each_change() {
    let setup = Setup::new();
    let schemas = setup.schemas("0s", "", "");
    let mut decoder = ScanDecoder::Avro(crate::wire::scan::AvroScans::of(schemas.get()));
    let mut given = 0;
    assert!(schemas.renew(&mut decoder, &mut given) && !schemas.renew(&mut decoder, &mut given));
    setup.write("another.avsc", &another());
    schemas.reload(Asked::Signal).unwrap();
    assert!(schemas.renew(&mut decoder, &mut given) && !schemas.renew(&mut decoder, &mut given));
}

#[test]
fn what_the_registry_has_is_known_also_when_files_are_read_anew() {
    let schema = serde_json::json!({ "schema": another() }).to_string();
    let (url, asked) = registry(&[(503, String::new()), (200, schema)]);
    let setup = Setup::new();
    let schemas = setup.schemas("0s", "", &url);
    assert_eq!(schemas.look(3, 17, ID, true), Verdict::Waits);
    ask(&schemas);
    assert_eq!(schemas.look(3, 17, ID, true), Verdict::Waits, "503 is no word about the schema");
    ask(&schemas);
    assert!(schemas.get().knows(ID.mark));
    setup.write("another.avsc", &another());
    assert!(schemas.reload(Asked::Signal).unwrap().schemas.knows(ID.mark));
    assert_eq!(asked.join().unwrap(), vec!["GET /schemas/ids/9 HTTP/1.1"; 2]);
}

#[test]
fn a_schema_that_the_registry_has_not_is_given_up_after_patience_and_not_before() {
    for (patience, given_up) in [("0s", true), ("1h", false)] {
        let (url, _) = registry(&[(404, NO_SUCH.to_owned())]);
        let setup = Setup::new();
        let schemas = setup.schemas(patience, "", &url);
        assert_eq!(schemas.look(3, 17, ID, true), Verdict::Waits, "it has not been asked yet");
        ask(&schemas);
        match schemas.look(3, 17, ID, true) {
            Verdict::GivenUp(rejected) => {
                assert!(given_up);
                assert_eq!(rejected.reason, Reason::UnknownSchema);
                assert!(rejected.message.contains("has none of this id (404)"), "{rejected}");
                assert_eq!(rejected.log_time, None, "a rebuild that leaves it out moves no clock");
                let read_before = schemas.look(3, 17, ID, false);
                assert_eq!(read_before, Verdict::Waits, "somebody has it");
            }
            Verdict::Waits => assert!(!given_up),
        }
    }
}

#[test]
fn a_registry_is_told_from_what_is_none() {
    let answers = [(404, NO_SUCH.to_owned()), (401, String::new()), (404, "<html>".to_owned())];
    let (url, asked) = registry(&answers);
    let url = url.trim_start_matches("url = \"").trim_end_matches("/\"").to_owned();
    let settings = SchemaRegistry { url, trust: None, ca_file: None };
    assert_eq!(reach(&settings), Ok(()));
    assert!(reach(&settings).unwrap_err().starts_with("401"));
    assert!(reach(&settings).unwrap_err().contains("look at schema_registry.url"));
    asked.join().unwrap();
    assert!(reach(&settings).is_err(), "nobody is there any more");
}

#[test]
fn a_fingerprint_is_given_up_only_where_that_is_set_and_an_id_of_a_silent_registry_not_even_then() {
    let fingerprint = UnknownSchema { mark: Mark::Fingerprint([7; 8]) };
    let setup = Setup::new();
    let rejecting = "on_unknown_schema = \"reject\"";
    let schemas = setup.schemas("1h", rejecting, "url = \"http://127.0.0.1:1\"");
    match schemas.look(3, 17, fingerprint, true) {
        Verdict::GivenUp(rejected) => {
            assert!(rejected.message.contains("on_unknown_schema"), "{rejected}");
        }
        Verdict::Waits => panic!("nobody is asked for a fingerprint"),
    }
    assert_eq!(schemas.look(3, 17, ID, true), Verdict::Waits);
    ask(&schemas);
    assert_eq!(schemas.look(3, 17, ID, true), Verdict::Waits, "the registry does not answer");
    let (url, _) = registry(&[(404, NO_SUCH.to_owned())]);
    let schemas = setup.schemas("1h", rejecting, &url);
    schemas.look(3, 17, ID, true);
    ask(&schemas);
    assert!(matches!(schemas.look(3, 17, ID, true), Verdict::GivenUp(_)), "it is not waited for");
}
