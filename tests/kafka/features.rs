//! What the linked client library was built with: a green build can silently lack a feature.

use rdkafka::ClientConfig;

#[test]
fn the_linked_librdkafka_has_tls_scram_and_every_compression() {
    let config = ClientConfig::new().create_native_config().expect("a configuration");
    let features = config.get("builtin.features").expect("the list of features");
    let features: Vec<_> = features.split(',').map(str::trim).collect();
    for wanted in ["ssl", "sasl_plain", "sasl_scram", "gzip", "snappy", "lz4", "zstd"] {
        assert!(features.contains(&wanted), "{wanted} is not among {features:?}");
    }
}
