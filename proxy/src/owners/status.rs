//! Whether the app's processes can be seen, and what to do where they cannot.

use std::fmt;

/// Whether processes can be used as evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing was looked up so far: the app may start after us.
    #[default]
    NotKnown,
    /// They can.
    Available,
    /// It is switched off.
    Off,
    /// This is not Linux.
    NotLinux,
    /// The kernel does not let sockets be looked up.
    NoSocketIndex,
    /// Nobody listens on the app's port in our network namespace.
    NoListener,
    /// Somebody does, but is not among the processes that we see.
    OtherNamespace,
    /// We see the processes, but not what they have open.
    NotPermitted,
}

impl Status {
    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotKnown => "not_known",
            Self::Available => "available",
            Self::Off => "off",
            Self::NotLinux => "not_linux",
            Self::NoSocketIndex => "no_sock_diag",
            Self::NoListener => "no_listener",
            Self::OtherNamespace => "pid_namespace",
            Self::NotPermitted => "not_permitted",
        }
    }

    /// Whether processes can be used as evidence.
    #[must_use]
    pub fn is_available(self) -> bool {
        self == Self::Available
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotKnown => "not known yet: nothing was looked up so far",
            Self::Available => "the processes of the app can be told apart",
            Self::Off => "process_evidence is off",
            Self::NotLinux => "sockets can be looked up on Linux alone",
            Self::NoSocketIndex => {
                "the kernel does not answer NETLINK_SOCK_DIAG; allow AF_NETLINK sockets in the \
                 seccomp profile"
            }
            Self::NoListener => {
                "nobody listens on the app's port in this network namespace; run the sidecar in the \
                 task or the pod of the app"
            }
            Self::OtherNamespace => {
                "the app's processes are in another PID namespace; set pidMode: task on ECS (on \
                 Fargate from platform version 1.4.0) or shareProcessNamespace: true on Kubernetes"
            }
            Self::NotPermitted => {
                "the app's open files are hidden from us; run the sidecar as the same user as the \
                 app, or with the capability SYS_PTRACE"
            }
        })
    }
}
