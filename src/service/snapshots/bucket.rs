//! Clients of a bucket: one that asks and reads, one that sends. What is read may take long as long
//! as it comes; what is sent goes in parts, and each of them has its time.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::limits::Limits;

/// The clients of one bucket.
pub(super) struct Bucket {
    pub(super) reading: Arc<dyn ObjectStore>,
    pub(super) sending: Arc<dyn ObjectStore>,
}

impl Bucket {
    /// How to reach it say those of the `variables` that begin with `AWS_`.
    pub(super) fn of(
        bucket: &str,
        limits: &Limits,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> object_store::Result<Self> {
        let retry = RetryConfig {
            max_retries: limits.retries,
            retry_timeout: limits.whole,
            ..RetryConfig::default()
        };
        let named = AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retry);
        let variables: Vec<_> = variables.into_iter().collect();
        let client = |options: ClientOptions| -> object_store::Result<Arc<dyn ObjectStore>> {
            let options = options.with_connect_timeout(limits.silence);
            let builder = named.clone().with_client_options(options);
            Ok(Arc::new(configured(builder, &variables).build()?))
        };
        let options = ClientOptions::new();
        Ok(Self {
            sending: client(options.clone().with_timeout(limits.part))?,
            reading: client(options.with_timeout_disabled().with_read_timeout(limits.silence))?,
        })
    }
}

fn configured(mut builder: AmazonS3Builder, variables: &[(String, String)]) -> AmazonS3Builder {
    for (name, value) in variables {
        // Those that only other clients know are none of ours.
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
            && name.starts_with("AWS_")
        {
            // An endpoint that is named without TLS is meant.
            if key == AmazonS3ConfigKey::Endpoint && value.starts_with("http://") {
                builder = builder.with_allow_http(true);
            }
            builder = builder.with_config(key, value);
        }
    }
    builder
}
