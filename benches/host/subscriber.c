/* Receives what a host publishes and counts it, for benches/host/bench.
 *
 *     subscriber PATH
 *
 * Binds to a port of the system's choice, subscribes to PATH and prints the endpoint. Each line on
 * the standard input is answered with the number of messages received so far, the bytes of their
 * frames, and the time at which the last one came (CLOCK_MONOTONIC, in nanoseconds). The program ends
 * when its input does.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static unsigned long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ULL + time.tv_nsec;
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: subscriber PATH\n");
        return 2;
    }

    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    int unlimited = 0;
    char endpoint[64];
    size_t size = sizeof(endpoint);
    if (!socket || zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof(unlimited)) ||
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, argv[1], strlen(argv[1])) ||
        zmq_bind(socket, "tcp://127.0.0.1:*") || zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size)) {
        fprintf(stderr, "subscriber: %s\n", zmq_strerror(zmq_errno()));
        return 1;
    }
    printf("%s\n", endpoint);
    fflush(stdout);

    unsigned long long messages = 0, bytes = 0, last = 0;
    zmq_pollitem_t items[] = {{socket, 0, ZMQ_POLLIN, 0}, {NULL, STDIN_FILENO, ZMQ_POLLIN, 0}};
    for (;;) {
        if (zmq_poll(items, 2, -1) < 0)
            return 1;

        if (items[0].revents) {
            zmq_msg_t frame;
            zmq_msg_init(&frame);
            /* The time is asked once for a batch, not for each frame. */
            for (int i = 0; i < 1000 && zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0; i++) {
                bytes += zmq_msg_size(&frame);
                messages += !zmq_msg_more(&frame);
            }
            zmq_msg_close(&frame);
            last = now();
        }

        if (items[1].revents) {
            char line[16];
            if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
                return 0;

            printf("%llu %llu %llu\n", messages, bytes, last);
            fflush(stdout);
        }
    }
}
