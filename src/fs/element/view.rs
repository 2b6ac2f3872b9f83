//! The ways to show a map's elements: which there are, what each allows, which maps have it.

use crate::fs::base::error::{Error, Result};
use crate::fs::base::facts::{Facts, HelpLine, line, line_if};
use crate::map::{Content, Keys, Listing, Map};
use crate::node::{BucketScale, Place, View, WholeText};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// What may be done in a view, whatever the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allows {
    /// Elements come into being by being opened or written here.
    pub create: bool,
    /// A write changes the element, or a part of it.
    pub write: bool,
    /// `rm` deletes the element.
    pub delete: bool,
    /// The keys are listed.
    pub list: bool,
}

/// What a view allows. A new view says it here, or nothing compiles.
pub fn allows(view: &View) -> Allows {
    const ALL: Allows = Allows { create: true, write: true, delete: true, list: true };
    const PARTS: Allows = Allows { create: false, write: true, delete: false, list: true };
    const SEEN: Allows = Allows { create: false, write: false, delete: false, list: true };
    match view {
        View::Text | View::Longest | View::Raw => ALL,
        // A new element is made by one CPU's value: the others' are zero. It is deleted whole.
        View::Cpu(_) => Allows { create: true, ..PARTS },
        View::Field(_) => PARTS,
        View::Sum | View::Histogram(_) => SEEN,
        // Not listed, since reading takes away: `cat *` must not empty the map.
        View::Pop => Allows { list: false, ..SEEN },
    }
}

/// A directory in a map's that shows its elements in another way.
#[derive(Debug)]
pub struct ViewRow {
    /// The directory's name.
    pub name: &'static str,
    /// What it is.
    pub place: fn() -> Place,
    /// Why a map has not got it; `None` if it has.
    pub lacks: fn(&Facts) -> Option<Error>,
    /// Its lines in the map's help.
    pub help: &'static [HelpLine],
}

/// All such directories, in the order of the help.
pub const VIEWS: &[ViewRow] = &[
    ViewRow {
        name: ".pop",
        place: || Place::View(View::Pop),
        lacks: |map| {
            (!map.kind.take).then(|| {
                let kind = map.kind.with_article();
                let reason = format!("the elements of {kind} cannot be taken out");
                Error::new(libc::EOPNOTSUPP, reason)
            })
        },
        help: &[line(".pop/KEY", "take an element out as it is read", "cat .pop/KEY")],
    },
    ViewRow {
        name: ".raw",
        place: || Place::View(View::Raw),
        lacks: no_keys,
        help: &[
            line_if(
                |map| !map.is_queue() && map.is_readable,
                ".raw/",
                "the values' bytes, under the keys' bytes in hex",
                "xxd .raw/01000000",
            ),
            line_if(Facts::is_queue, ".raw/", "the next element's bytes", "xxd .raw/head"),
        ],
    },
    ViewRow {
        name: ".field",
        place: || Place::View(View::Field(Arc::from([]))),
        lacks: |map| {
            let kind = map.kind.with_article();
            let reason = || format!("the values of {kind} have no members");
            let has = matches!(map.kind.content, Content::Data | Content::StructOps);
            no_keys(map).or_else(|| (!has).then(|| Error::new(libc::EOPNOTSUPP, reason())))
        },
        help: &[line_if(
            |map| !map.is_queue(),
            ".field/",
            "members of the values as files",
            "cat .field/KEY/packets",
        )],
    },
    ViewRow {
        name: ".cpu",
        place: || Place::Cpus,
        lacks: one_value,
        help: &[line(".cpu/", "the values of one CPU", "cat .cpu/0/KEY")],
    },
    ViewRow {
        name: ".sum",
        place: || Place::View(View::Sum),
        lacks: one_value,
        help: &[
            line(".sum/", "the sums over all CPUs", "cat .sum/KEY"),
            line(".sum/", "of all elements, a line of JSON each", "cat .sum/.entries"),
        ],
    },
    ViewRow {
        name: ".hist",
        place: || Place::View(View::Histogram(BucketScale::Powers)),
        lacks: no_numbers,
        help: HISTOGRAMS,
    },
    ViewRow {
        name: ".lhist",
        place: || Place::View(View::Histogram(BucketScale::Linear)),
        lacks: no_numbers,
        help: LINEAR,
    },
];

/// Elements that can be listed, and whose values are a program's own.
fn no_numbers(map: &Facts) -> Option<Error> {
    let kind = map.kind.name;
    let reason = || {
        format!("this {kind} is no histogram: no array of four integers in values, no integer keys")
    };
    let has = matches!(map.kind.content, Content::Data)
        && map.lists()
        && (map.has_series || map.has_buckets);
    (!has).then(|| Error::new(libc::EOPNOTSUPP, reason()))
}

/// The text of all elements that a view's directory has.
pub fn whole(view: &View) -> Option<WholeText> {
    match view {
        View::Sum => Some(WholeText::Sums),
        View::Histogram(scale) => Some(WholeText::Histogram(*scale)),
        View::Text | View::Longest | View::Pop | View::Raw | View::Cpu(_) | View::Field(_) => None,
    }
}

const HISTOGRAMS: &[HelpLine] = &[
    line_if(
        |map| map.has_series,
        ".hist/",
        "the first array of integers in a value, by powers of two",
        "cat .hist/KEY",
    ),
    line_if(
        |map| map.has_buckets,
        ".hist/",
        "the whole map so, its keys being the buckets",
        "cat .hist/.map",
    ),
];

const LINEAR: &[HelpLine] = &[
    line_if(|map| map.has_series, ".lhist/", "the same, a bucket for each index", "cat .lhist/KEY"),
    line_if(|map| map.has_buckets, ".lhist/", "the same, a bucket for each key", "cat .lhist/.map"),
];

/// The help of a view's directory; `None` for the map's own, and where it depends on the value's members.
pub fn page(view: &View) -> Option<&'static [HelpLine]> {
    match view {
        View::Text | View::Longest | View::Field(_) => None,
        View::Raw => Some(RAW_PAGE),
        View::Cpu(_) => Some(CPU_PAGE),
        View::Sum => Some(SUM_PAGE),
        View::Histogram(_) => Some(HISTOGRAM_PAGE),
        View::Pop => Some(POP_PAGE),
    }
}

const RAW_PAGE: &[HelpLine] = &[
    line("KEY", "the value's bytes (per CPU: each padded to 8)", "xxd 01000000"),
    line("KEY", "set exactly these bytes", "cp FILE 01000000"),
];

const CPU_PAGE: &[HelpLine] = &[
    line("KEY", "this CPU's value", "cat KEY"),
    line("KEY", "set this CPU's value alone", "echo VALUE > KEY"),
];

const SUM_PAGE: &[HelpLine] = &[
    line("KEY", "the numbers added up over all CPUs", "cat KEY"),
    line(".entries", "the same of all elements, a line of JSON each", "cat .entries"),
];

const HISTOGRAM_PAGE: &[HelpLine] = &[
    line_if(
        |map| map.has_series,
        "KEY",
        "the first array of at least four integers, drawn",
        "cat KEY",
    ),
    line_if(
        |map| map.has_buckets,
        ".map",
        "the whole map, its integer keys being the buckets",
        "cat .map",
    ),
];

const POP_PAGE: &[HelpLine] = &[line("KEY", "the value, deleted as it is read", "cat KEY")];

fn one_value(map: &Facts) -> Option<Error> {
    let reason = || format!("{} has no value per CPU", map.kind.with_article());
    (!map.kind.per_cpu).then(|| Error::new(libc::ENOENT, reason()))
}

fn no_keys(map: &Facts) -> Option<Error> {
    let reason = || format!("{} has no keys that are bytes", map.kind.with_article());
    let has = matches!(map.kind.keys, Keys::Bytes | Keys::Head);
    (!has).then(|| Error::new(libc::EOPNOTSUPP, reason()))
}

/// A view's directory in the map's, as a path; none for the map's own.
pub fn dir_name(view: &View) -> Option<String> {
    Some(match view {
        View::Text | View::Longest => return None,
        View::Pop => ".pop".to_owned(),
        View::Raw => ".raw".to_owned(),
        View::Cpu(cpu) => format!(".cpu/{cpu}"),
        View::Sum => ".sum".to_owned(),
        View::Histogram(BucketScale::Powers) => ".hist".to_owned(),
        View::Histogram(BucketScale::Linear) => ".lhist".to_owned(),
        View::Field(_) => ".field".to_owned(),
    })
}

/// Whether an element's file is the value's bytes under the key's in hex, and no text.
pub fn is_bytes(view: &View) -> bool {
    match view {
        View::Raw => true,
        View::Text
        | View::Longest
        | View::Pop
        | View::Cpu(_)
        | View::Sum
        | View::Histogram(_)
        | View::Field(_) => false,
    }
}

/// Whether elements in this view are whole, and the map's own.
pub fn is_own(view: &View) -> bool {
    match view {
        View::Text | View::Longest => true,
        View::Pop | View::Raw | View::Cpu(_) | View::Sum | View::Histogram(_) | View::Field(_) => {
            false
        }
    }
}

/// The number of a possible CPU.
///
/// # Errors
/// ENOENT if there is no such CPU.
pub fn parse_cpu(map: &Map, name: &OsStr) -> Result<u32> {
    let number = name.to_str().and_then(|name| {
        let number: u32 = name.parse().ok()?;
        (number.to_string() == name && (number as usize) < map.cpus()).then_some(number)
    });
    number.ok_or_else(|| Error::new(libc::ENOENT, format!("CPUs are 0 to {}", map.cpus() - 1)))
}

/// The view that a name in `view` is in: an address without a length is looked up by the longest
/// prefix that covers it.
pub fn of_name(map: &Map, view: &View, name: &OsStr) -> View {
    if *view == View::Text && map.kind.listing == Listing::Trie {
        let matched = map.codec.parse_name(name.as_bytes(), &mut Vec::new());
        if matched.is_ok_and(|matched| matched == crate::codec::NameMatch::Longest) {
            return View::Longest;
        }
    }
    view.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_names_of_their_paths() {
        for row in VIEWS {
            let Some(view) = (row.place)().keys() else { continue };
            assert_eq!(dir_name(&view).as_deref(), Some(row.name));
        }
    }

    #[test]
    fn only_whole_elements_are_deleted() {
        for view in [View::Pop, View::Cpu(0), View::Sum, View::Field(Arc::from([]))] {
            assert!(!allows(&view).delete, "{view:?}");
        }
    }
}
