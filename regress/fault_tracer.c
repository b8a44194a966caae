/* SPDX-License-Identifier: MIT */
/*
 * Kills a process of a session's making at its n-th system call, or makes that call fail:
 *
 *   fault_tracer SPAWNER_PID list
 *   fault_tracer SPAWNER_PID KIND N kill|ERRNO
 *
 * KIND: spawner; maker, its fork; tool, what that runs (mke2fs); init, whom it clones; and after
 * their exec holder and session-init. Prints "ready" when it traces, then "KIND N CALL" for
 * each call that is entered (list), or for the one that was hit. Ends on SIGTERM; then all go on.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <linux/ptrace.h>
#include <seccomp.h>

#define TRACEES_MAX 1024
#define OPTIONS \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
	    PTRACE_O_TRACEEXEC)

enum kind { NOBODY, SPAWNER, MAKER, TOOL, INIT, HOLDER, SESSION_INIT, KIND_COUNT };
static const char *const names[KIND_COUNT] = { "nobody", "spawner", "maker", "tool", "init",
	"holder", "session-init" };

static struct tracee {
	pid_t pid;
	enum kind kind;
	uint64_t call;
	bool is_hit;
	bool is_early; /* has stopped before its parent told of it */
} tracees[TRACEES_MAX];

static struct {
	bool list;
	enum kind kind;
	unsigned long at;
	int error; /* 0: it is killed */
} plan;
static unsigned long counts[KIND_COUNT];

static struct tracee *
find(pid_t pid)
{
	for (size_t i = 0; i < TRACEES_MAX; i++) {
		if (tracees[i].pid == pid)
			return &tracees[i];
	}
	return NULL;
}

static struct tracee *
add(pid_t pid, enum kind kind)
{
	struct tracee *t = find(pid);

	if (!t)
		t = find(0);
	if (!t)
		exit(3);
	*t = (struct tracee){ .pid = pid, .kind = kind };
	return t;
}

#if defined(__x86_64__)
typedef struct user_regs_struct registers;
static void
set_call(registers *r, unsigned long call)
{
	r->orig_rax = call;
}
static void
set_result(registers *r, long result)
{
	r->rax = (unsigned long)result;
}
#elif defined(__aarch64__)
typedef struct user_regs_struct registers;
#define CALL_HAS_A_SET_OF_ITS_OWN 1
static void
set_result(registers *r, long result)
{
	r->regs[0] = (unsigned long)result;
}
#else
#error "its registers are not known here"
#endif

/* Another one that does nothing, and that every filter lets pass. */
static void
skip_call(pid_t pid)
{
#ifdef CALL_HAS_A_SET_OF_ITS_OWN
	int call = SYS_getpid;
	struct iovec v = { &call, sizeof(call) };

	ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &v);
#else
	registers r;
	struct iovec v = { &r, sizeof(r) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v) != 0)
		return;
	set_call(&r, SYS_getpid);
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v);
#endif
}

static void
fail_call(pid_t pid)
{
	registers r;
	struct iovec v = { &r, sizeof(r) };

	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &v) != 0)
		return;
	set_result(&r, -plan.error);
	ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &v);
}

static void
say(const struct tracee *t)
{
	char *call = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)t->call);

	printf("%s %lu %s\n", names[t->kind], counts[t->kind], call ? call : "unknown");
	fflush(stdout);
	free(call);
}

static void
on_entry(struct tracee *t, uint64_t call)
{
	t->call = call;
	counts[t->kind]++;
	if (plan.list) {
		say(t);
		return;
	}
	if (t->kind != plan.kind || counts[t->kind] != plan.at)
		return;
	say(t);
	if (plan.error == 0) {
		kill(t->pid, SIGKILL);
		return;
	}
	skip_call(t->pid);
	t->is_hit = true;
}

static void
on_call(struct tracee *t)
{
	struct ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		on_entry(t, info.entry.nr);
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->is_hit) {
		fail_call(t->pid);
		t->is_hit = false;
	}
}

static enum kind
kind_of_child(const struct tracee *parent)
{
	if (parent->kind == SPAWNER)
		return MAKER;
	if (parent->kind == MAKER)
		return parent->call == SYS_clone3 ? INIT : TOOL;
	return NOBODY;
}

/* Those of no kind go on by themselves. */
static void
go_on(struct tracee *t, int sig)
{
	if (t->kind != NOBODY) {
		ptrace(PTRACE_SYSCALL, t->pid, NULL, (void *)(intptr_t)sig);
		return;
	}
	ptrace(PTRACE_DETACH, t->pid, NULL, (void *)(intptr_t)sig);
	t->pid = 0;
}

static void
on_fork(const struct tracee *parent)
{
	unsigned long pid = 0;
	struct tracee *t;
	bool is_early;

	if (ptrace(PTRACE_GETEVENTMSG, parent->pid, NULL, &pid) != 0)
		return;
	t = find((pid_t)pid);
	is_early = t && t->is_early;
	t = add((pid_t)pid, kind_of_child(parent));
	if (is_early)
		go_on(t, 0);
}

static void
on_exec(struct tracee *t)
{
	if (t->kind == MAKER)
		t->kind = HOLDER;
	else if (t->kind == INIT)
		t->kind = SESSION_INIT;
}

/* Returns the signal to go on with. */
static int
on_stop(struct tracee *t, int status)
{
	int event = status >> 16, sig = WSTOPSIG(status);

	if (event == PTRACE_EVENT_EXEC)
		on_exec(t);
	else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
	    event == PTRACE_EVENT_CLONE)
		on_fork(t);
	else if (event == 0 && sig == (SIGTRAP | 0x80))
		on_call(t);
	return event == 0 && sig != (SIGTRAP | 0x80) ? sig : 0;
}

static void
turn(pid_t pid, int status)
{
	struct tracee *t = find(pid);
	int sig;

	if (!WIFSTOPPED(status)) {
		if (t)
			t->pid = 0;
		return;
	}
	if (!t) {
		add(pid, NOBODY)->is_early = true; /* stays stopped until then */
		return;
	}
	sig = on_stop(t, status);
	go_on(t, sig);
}

static volatile sig_atomic_t is_over;

static void
on_term(int sig)
{
	(void)sig;
	is_over = 1;
}

static int
trace(pid_t spawner)
{
	struct sigaction end = { .sa_handler = on_term };
	int status;
	pid_t pid;

	sigaction(SIGTERM, &end, NULL);
	if (ptrace(PTRACE_SEIZE, spawner, NULL, OPTIONS) != 0 ||
	    ptrace(PTRACE_INTERRUPT, spawner, NULL, NULL) != 0) {
		perror("fault_tracer: ptrace");
		return 2;
	}
	add(spawner, SPAWNER);
	puts("ready");
	fflush(stdout);
	while (!is_over && (pid = waitpid(-1, &status, __WALL)) > 0)
		turn(pid, status);
	return 0;
}

static enum kind
kind_of(const char *name)
{
	for (enum kind k = SPAWNER; k < KIND_COUNT; k++) {
		if (strcmp(names[k], name) == 0)
			return k;
	}
	exit(2);
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[2], "list") == 0) {
		plan.list = true;
	} else if (argc == 5) {
		plan.kind = kind_of(argv[2]);
		plan.at = strtoul(argv[3], NULL, 10);
		plan.error = strcmp(argv[4], "kill") == 0 ? 0 : (int)strtol(argv[4], NULL, 10);
	} else {
		fputs("usage: fault_tracer SPAWNER_PID list | KIND N kill|ERRNO\n", stderr);
		return 2;
	}
	return trace((pid_t)strtol(argv[1], NULL, 10));
}
