/* What linux.h is for Linux, for other Unix systems: what all of them have. */
#define HAVE_CLOCK_GETTIME 1
#define HAVE_FORK 1
#define HAVE_MKDTEMP 1
#define HAVE_STRNLEN 1
#define ZMQ_HAVE_IFADDRS 1
#define ZMQ_HAVE_IPC 1
#define ZMQ_HAVE_NOEXCEPT 1
#define ZMQ_HAVE_O_CLOEXEC 1
#define ZMQ_HAVE_SO_KEEPALIVE 1
#define ZMQ_HAVE_STRLCPY 1
#define ZMQ_HAVE_STRUCT_SOCKADDR_UN 1
#define ZMQ_HAVE_UIO 1
#define ZMQ_HAVE_WS 1
#define ZMQ_IOTHREAD_POLLER_USE_KQUEUE 1
#define ZMQ_POLL_BASED_ON_POLL 1
#define ZMQ_USE_BUILTIN_SHA1 1
#define ZMQ_USE_CV_IMPL_STL11 1
