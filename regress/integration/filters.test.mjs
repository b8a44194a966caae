// SPDX-License-Identifier: MIT
// What each role's seccomp filter does to single calls (S3), asked of the filter itself by regress/try_syscall.c: one
// process per role and call, which loads the filter and makes the call with arguments that do no harm.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { describe, it } from "node:test";
import { build } from "../lib/harness.mjs";

const program = path.join(build, "regress/try_syscall");
const skip = process.env.FOG_SANITIZED === "1" && "a sanitizer build has no filters";

// "killed", "ok", or the name of the errno.
function ask(role, call) {
	return new Promise((resolve, reject) => {
		execFile(program, [role, call], { timeout: 10_000 }, (error, stdout, stderr) => {
			if (error?.signal === "SIGSYS")
				resolve("killed");
			else if (error)
				reject(new Error(`try_syscall ${role} ${call}: ${error.message} ${stderr}`));
			else
				resolve(stdout.trim());
		});
	});
}

const STRICT = ["gatewayd", "authd", "placerd", "ptyd", "holder", "fetcher", "prober"];
const DENY_LISTED = ["fogd", "spawner"];
const without = (roles, ...those) => roles.filter((role) => !those.includes(role));

// call, roles, what they get. ENOENT, EBADF, ESRCH and EFAULT come from the kernel: the filter let the call pass.
const TABLE = [
	// New programs, processes and memory that can be run.
	["execve execveat fork new_user_namespace ptrace process_vm_readv", STRICT, "killed"],
	["new_thread", ["gatewayd"], "ok"],
	["new_thread", without(STRICT, "gatewayd"), "killed"],
	["thread_in_new_namespace", STRICT, "killed"],
	["mmap_exec mmap_file mprotect_exec pkey_mprotect_exec personality", STRICT, "killed"],
	["clone3", STRICT, "ENOSYS"],
	["mmap_anonymous mprotect_read getpid", STRICT, "ok"],

	// The network: accepted sockets only, and nothing that connects by another name. The fetchers alone make connections, of
	// streams that do not block; they listen to nobody, and the sockets to their name servers are there before.
	["socket_inet socket_inet6 socket_netlink socket_raw socket_packet bind", STRICT, "killed"],
	["socket_inet_stream socket_inet6_stream", ["fetcher", "prober"], "ok"],
	["socket_inet_stream socket_inet6_stream", without(STRICT, "fetcher", "prober"), "killed"],
	["socket_unix", without(STRICT, "ptyd"), "killed"],
	["socket_unix", ["ptyd"], "ok"],
	["connect", without(STRICT, "ptyd", "fetcher", "prober"), "killed"],
	["connect", ["ptyd", "fetcher", "prober"], "ENOENT"],
	["sendmsg_fastopen socketpair_datagram", STRICT, "killed"],
	["sendto_fastopen", without(STRICT, "fetcher", "prober"), "killed"],
	["sendto_plain", STRICT, "EBADF"],
	["accept4", ["gatewayd", "holder", "placerd"], "EBADF"], // placerd: of its control socket
	["accept4", ["authd", "ptyd", "fetcher", "prober"], "killed"],
	["listen", without(STRICT, "holder"), "killed"],
	["listen", ["holder"], "EBADF"],

	// Files. libc looks for some at odd moments and can do without: an errno, not death.
	["openat", without(STRICT, "ptyd"), "EACCES"],
	["openat", ["ptyd"], "ok"],
	["openat2 mkdir chmod mknod open_by_handle_at fallocate pwrite pwritev2", STRICT, "killed"],
	["unlink ftruncate memfd_create", without(STRICT, "ptyd"), "killed"],
	["unlink", ["ptyd"], "ENOENT"],
	["ftruncate", ["ptyd"], "EBADF"],
	["memfd_create", ["ptyd"], "ok"],

	// The audit log is opened O_APPEND: placerd cannot take that off and write over it (S33).
	["fcntl_setfl", STRICT, "killed"],
	["fcntl_set_nonblocking", without(STRICT, "fetcher", "prober"), "killed"],
	["fcntl_set_nonblocking", ["fetcher", "prober"], "ok"], // libcurl, on sockets that have it already
	["fcntl_getfl", STRICT, "ok"],

	// Signals to others.
	["kill tkill tgkill_other pidfd_send_signal pidfd_getfd fcntl_setown", STRICT, "killed"],
	["tgkill_self", STRICT, "ok"],
	["pidfd_open", without(STRICT, "ptyd"), "killed"],
	["pidfd_open", ["ptyd"], "ESRCH"],

	// Privilege and the kernel's large surfaces.
	["setuid setgroups capset prctl_set_dumpable seccomp unshare setns chroot pivot_root mount", STRICT, "killed"],
	["bpf io_uring_setup perf_event_open keyctl add_key request_key userfaultfd", STRICT, "killed"],
	["init_module finit_module kexec_load reboot unknown", STRICT, "killed"],
	["ioctl ioctl_sti", STRICT, "killed"],
	["ioctl_foreground", without(STRICT, "holder"), "killed"],
	["ioctl_foreground", ["holder"], "EBADF"], // who has the terminal: is the session idle?
	["prctl_get_seccomp", STRICT, "ok"],

	// fogd and the spawner: what no shell may do either is refused, since filters are inherited (S26).
	["bpf io_uring_setup perf_event_open keyctl add_key request_key userfaultfd", DENY_LISTED, "EPERM"],
	["open_by_handle_at init_module finit_module kexec_load reboot", DENY_LISTED, "EPERM"],
	["fork mmap_exec openat", DENY_LISTED, "ok"],
	["execve", DENY_LISTED, "ENOENT"],
];

// System calls of a foreign ABI.
if (process.arch === "x64")
	TABLE.push(["int80 x32", [...STRICT, ...DENY_LISTED], "killed"]);

const rowsOf = (role) => TABLE.filter(([, roles]) => roles.includes(role))
	.flatMap(([calls, , wanted]) => calls.split(" ").map((call) => ({ call, wanted })));

describe("filters", { skip }, () => {
	for (const role of [...STRICT, ...DENY_LISTED]) {
		it(role, async () => {
			const rows = rowsOf(role);
			assert.equal(new Set(rows.map(({ call }) => call)).size, rows.length, "each call once");
			const wrong = [];
			for (const { call, wanted } of rows) {
				const got = await ask(role, call);
				if (got !== wanted)
					wrong.push(`${call}: ${got}, not ${wanted}`);
			}
			assert.deepEqual(wrong, []);
		});
	}
});
