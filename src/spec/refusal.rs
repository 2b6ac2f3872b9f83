//! Why the kernel refused a map, in words: its errno names none of what was asked for.

use super::create::CreateError;
use super::plan::MapPlan;
use super::{Spec, flags};
use crate::sys::map::kind::{self, Extra, MapKind};
use crate::sys::map::map_info;
use crate::sys::os::{self, page_size};
use crate::sys::{self, Call};
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

impl Spec {
    /// The kernel's refusal, with what may have caused it.
    pub(super) fn explain(
        &self,
        error: sys::Error,
        plan: &MapPlan,
        inner: Option<BorrowedFd<'_>>,
    ) -> CreateError {
        let kind = kind::with_article(self.kind);
        if error.call == Call::MapCreate
            && error.errno != libc::EPERM
            && kind::is_supported(self.kind) == Some(false)
        {
            let kind = kind::name(self.kind).unwrap_or("such");
            let reason = format!("this kernel has no {kind} maps ({error})");
            return CreateError { errno: libc::EOPNOTSUPP, reason };
        }
        let hint = match error.errno {
            _ if error.call == Call::BtfLoad => "the kernel does not load these types".to_owned(),
            libc::E2BIG => format!("{kind} of this size is more than the kernel allows"),
            libc::ENOMEM => format!("there is no memory for {kind} of this size"),
            libc::EPERM if self.ifindex != 0 => {
                "creating maps on a network card (ifindex) needs CAP_SYS_ADMIN".to_owned()
            }
            libc::EPERM => "creating maps needs CAP_BPF, or CAP_SYS_ADMIN".to_owned(),
            _ => {
                let asked = format!("the kernel does not create {kind} with {}", self.asked(plan));
                let mut parts = vec![asked];
                parts.extend(self.wrong_device());
                parts.extend(self.wrong_extra(&kind));
                parts.extend(self.wrong_node(plan, &kind));
                parts.extend(inner.and_then(|inner| wrong_inner(inner, error.errno)));
                parts.join("; ")
            }
        };
        CreateError { errno: error.errno, reason: format!("{hint} ({error})") }
    }

    /// All that the kernel was asked for.
    fn asked(&self, plan: &MapPlan) -> String {
        let names = flags::names(plan.flags).join(", ");
        let mut asked = format!(
            "key {}, value {}, entries {}, flags {}",
            plan.key_size,
            plan.value_size.unwrap_or(0),
            plan.max_entries.unwrap_or(0),
            if names.is_empty() { "none" } else { &names },
        );
        let numbers = [
            ("map_extra", self.map_extra),
            ("numa_node", self.numa_node.unwrap_or(0).into()),
            ("ifindex", self.ifindex.into()),
        ];
        for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
            asked += &format!(", {name} {number}");
        }
        asked
    }

    fn wrong_device(&self) -> Option<String> {
        let index = self.ifindex;
        match os::interface_name(index) {
            _ if index == 0 => None,
            Some(name) => Some(format!(
                "ifindex {index} is {name}, which may hold no maps, as few network cards do: \
                 leave ifindex out"
            )),
            None => Some(format!(
                "there is no network interface with ifindex {index}: leave it out, or take one \
                 that `ip link` shows"
            )),
        }
    }

    fn wrong_extra(&self, kind: &str) -> Option<String> {
        let extra = self.map_extra;
        match MapKind::of(self.kind).extra {
            _ if extra == 0 => None,
            Extra::Hashes if extra < 16 => None,
            Extra::Hashes => Some(format!(
                "map_extra is {kind}'s number of hash functions, 1 to 15, or 0 for the kernel's \
                 choice"
            )),
            Extra::FirstSize => Some(format!(
                "map_extra is how many elements {kind} has room for at first: at most 65535, and not \
                 more than its entries"
            )),
            Extra::Address => Some(format!(
                "map_extra is the address where programs have {kind}: a multiple of {}, and the \
                 whole of it between two multiples of 4 GiB",
                page_size()
            )),
            // A newer kind may have a use for it.
            Extra::Unknown => None,
            Extra::Unused => Some(format!("{kind} has no map_extra: leave it out")),
        }
    }

    fn wrong_node(&self, plan: &MapPlan, kind: &str) -> Option<String> {
        const NODES: &str = "/sys/devices/system/node";
        if plan.flags & flags::NUMA_NODE == 0 {
            return None;
        }
        if !MapKind::of(self.kind).numa_node {
            return Some(format!("{kind} takes no NUMA node: leave numa_node out"));
        }
        let node = self.numa_node.unwrap_or(0);
        if Path::new(NODES).join(format!("node{node}")).exists() {
            return None;
        }
        let online = fs::read_to_string(format!("{NODES}/online")).unwrap_or_default();
        let online = match online.trim() {
            "" => "0",
            online => online,
        };
        Some(format!(
            "there is no NUMA node {node} here, only {online}: leave numa_node out, or take that"
        ))
    }
}

/// Why a map cannot be the model of those in a map.
fn wrong_inner(inner: BorrowedFd<'_>, errno: i32) -> Option<String> {
    let number = map_info(inner).ok()?.map_type;
    let kind = kind::with_article(number);
    if MapKind::of(number).holds_maps() {
        return Some(format!(
            "inner_map is {kind}, but the maps in a map cannot hold maps themselves: take another"
        ));
    }
    (errno == libc::EOPNOTSUPP)
        .then(|| format!("inner_map is {kind}, which the kernel puts in no map: take another"))
}
