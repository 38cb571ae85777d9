//! stallwatch against a real Apache Kafka, read by clients that know nothing of it.
//!
//! `./test` fetches what these tests need; without it they fail and say so.
#![allow(clippy::disallowed_methods, reason = "tests wait for real time to pass")]

mod broker;
#[path = "../snapshots/server.rs"]
mod bucket_server;
mod certificates;
mod client;
mod printed;
mod python;
mod scans;
mod service;
mod subscriber;
mod wait;

mod admin;
mod amid_look;
mod bucket;
mod clocks;
mod demo_feed;
mod equality;
mod evidence;
mod features;
mod first_start;
mod flood;
mod guards;
mod halts;
mod judge;
mod limit;
mod misused;
mod outage;
mod policies;
mod prometheus;
mod recover;
mod refused;
mod rejoin;
mod remedies;
mod restart;
mod schemas;
mod security;
mod snapshots;
mod stop;
mod subscribers;
mod subscribers_in_trouble;
mod unread;
