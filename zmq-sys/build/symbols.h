/* Included in front of each of libzmq's sources on Linux.
 *
 * libstdc++ of GCC 12 gave this function a new version, GLIBCXX_3.4.30, for a change that
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
