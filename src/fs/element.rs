//! `MAP/KEY`: an element as a file.

pub mod access;
pub mod file;
pub mod histogram;
pub mod links;
pub mod member;
pub mod name;
pub mod promises;
pub mod refs;
pub mod take;
pub mod target;
pub mod text;
pub mod view;
pub mod walk;
