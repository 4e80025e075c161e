/* What libzmq's own configure script would find on Linux: included in front of each of its
 * sources, as platform.hpp.
 */
#define HAVE_ACCEPT4 1
#define HAVE_CLOCK_GETTIME 1
#define HAVE_FORK 1
#define HAVE_IF_NAMETOINDEX 1
#define HAVE_MKDTEMP 1
#define HAVE_POSIX_MEMALIGN 1
#define HAVE_STRNLEN 1
#define ZMQ_CACHELINE_SIZE 64
#define ZMQ_HAVE_EVENTFD 1
#define ZMQ_HAVE_EVENTFD_CLOEXEC 1
#define ZMQ_HAVE_IFADDRS 1
#define ZMQ_HAVE_IPC 1
#define ZMQ_HAVE_LINUX 1
#define ZMQ_HAVE_NOEXCEPT 1
#define ZMQ_HAVE_O_CLOEXEC 1
#define ZMQ_HAVE_PTHREAD_SETNAME_2 1
#define ZMQ_HAVE_PTHREAD_SET_AFFINITY 1
#define ZMQ_HAVE_SOCK_CLOEXEC 1
#define ZMQ_HAVE_SO_BINDTODEVICE 1
#define ZMQ_HAVE_SO_KEEPALIVE 1
#define ZMQ_HAVE_SO_PEERCRED 1
#define ZMQ_HAVE_SO_PRIORITY 1
#define ZMQ_HAVE_STRUCT_SOCKADDR_UN 1
#define ZMQ_HAVE_TCP_KEEPCNT 1
#define ZMQ_HAVE_TCP_KEEPIDLE 1
#define ZMQ_HAVE_TCP_KEEPINTVL 1
#define ZMQ_HAVE_UIO 1
#define ZMQ_HAVE_WS 1
#define ZMQ_IOTHREAD_POLLER_USE_EPOLL 1
#define ZMQ_IOTHREAD_POLLER_USE_EPOLL_CLOEXEC 1
#define ZMQ_POLL_BASED_ON_POLL 1
#define ZMQ_USE_BUILTIN_SHA1 1
#define ZMQ_USE_CV_IMPL_STL11 1

/* From version 2.38 on glibc has this function; others have it in any case. */
#include <string.h>
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 38)
#define ZMQ_HAVE_STRLCPY 1
#endif
#else
#define ZMQ_HAVE_STRLCPY 1
#endif

/* libstdc++ of GCC 12 gave this function a new version, GLIBCXX_3.4.30, for a change that
 * libzmq has no use for; the older one is still there. With it, what is built with GCC 12 runs
 * with the libraries of GCC 11, which the systems of glibc 2.34 have (RHEL 9 and its kin).
 */
#ifdef __cplusplus
#include <cstddef>
#ifdef __GLIBCXX__
__asm__(".symver _ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE,"
        "_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE@GLIBCXX_3.4.11");
#endif
#endif
