/*
 * Calls without system calls: io_uring without its library.
 *
 * https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/io_uring.h
 */

#include "calls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One operation at a time is under way. */
#define ENTRIES 1

struct ring {
	int fd;
	unsigned *sq_tail, *cq_head, *cq_tail;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqes;
	unsigned cq_mask;
};

static char *map(int fd, size_t size, off_t what)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);

	if (at == MAP_FAILED)
		broken("mapping a ring");
	return at;
}

static struct ring open_ring(unsigned flags)
{
	/* A poller that has nothing to do sleeps at once: it would take a processor from the peer. */
	struct io_uring_params params = { .flags = flags, .sq_thread_idle = 1 };
	struct ring ring = { .fd = syscall(SYS_io_uring_setup, ENTRIES, &params) };
	char *sq, *cq;

	if (ring.fd == -1 && (errno == ENOSYS || errno == EPERM))
		skip(errno == ENOSYS ? "this kernel has no io_uring" : "io_uring is not permitted");
	if (ring.fd == -1)
		broken("io_uring_setup");
	sq = map(ring.fd, params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
	cq = map(ring.fd, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	ring.sqe = (void *)map(ring.fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	ring.sq_tail = (unsigned *)(sq + params.sq_off.tail);
	/* The only entry is always the next one. */
	*(unsigned *)(sq + params.sq_off.array) = 0;
	ring.cq_head = (unsigned *)(cq + params.cq_off.head);
	ring.cq_tail = (unsigned *)(cq + params.cq_off.tail);
	ring.cq_mask = *(unsigned *)(cq + params.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	return ring;
}

/* Hands one operation to the kernel, and waits for its errno. */
static int run(struct ring *ring, struct io_uring_sqe operation)
{
	unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP;
	unsigned submit = 1, head = *ring->cq_head;
	int result;

	*ring->sqe = operation;
	__atomic_store_n(ring->sq_tail, *ring->sq_tail + 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == head) {
		long entered = syscall(SYS_io_uring_enter, ring->fd, submit, 1, flags, NULL, 0);

		if (entered == 1)
			submit = 0;
		else if (entered == -1 && errno != EINTR)
			broken("io_uring_enter");
	}
	result = ring->cqes[head & ring->cq_mask].res;
	__atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
	return result < 0 ? -result : 0;
}

static volatile sig_atomic_t signals;

static void count(int signal)
{
	(void)signal;
	signals++;
}

/*
 * Operations: `send`, `send_nosignal` and `write` of a connection that was reset; `connect` to a port.
 * Modes: by the `caller` of io_uring_enter(), by a `worker`, or by the `poller` of the submission queue.
 */
void use_uring(const char *operation, const char *mode, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct io_uring_sqe sqe = { .flags = strcmp(mode, "worker") ? 0 : IOSQE_ASYNC };
	int connects = !strcmp(operation, "connect");
	struct ring ring;

	sqe.fd = connects ? socket(AF_INET, SOCK_STREAM, 0) : connection(port);
	/* The handler stays, whatever the C library takes signal() to mean: a second signal is counted, too. */
	sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = count, .sa_flags = SA_RESTART }, NULL);
	ring = open_ring(strcmp(mode, "poller") ? 0 : IORING_SETUP_SQPOLL);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connects) {
		sqe.opcode = IORING_OP_CONNECT;
		sqe.addr = (uintptr_t)&to;
		sqe.off = sizeof(to);
	} else {
		await_reset(sqe.fd);
		sqe.opcode = strcmp(operation, "write") ? IORING_OP_SEND : IORING_OP_WRITE;
		sqe.addr = (uintptr_t)"x";
		sqe.len = 1;
		sqe.msg_flags = strcmp(operation, "send_nosignal") ? 0 : MSG_NOSIGNAL;
		tell(operation, run(&ring, sqe));
	}
	tell(operation, run(&ring, sqe));
	tell("signals", signals);
}
