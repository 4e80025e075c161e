/*
 * Prints every record that arrives: the log path, a tab, the JSON.
 *
 *     cc -O2 -o subscribe subscribe.c -lzmq       (Debian: apt-get install libzmq3-dev)
 *     ./subscribe [ENDPOINT [TOPIC]]              default: tcp://127.0.0.1:12345, all logs
 *
 * Zeek connects to it: redef LogZeroMQ::endpoint = "tcp://127.0.0.1:12345";
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

static volatile sig_atomic_t stop;

static void on_signal(int number) {
    (void)number;
    stop = 1;
}

/* Receives a frame; *more is true if another frame of its message follows. */
static int receive(void* socket, zmq_msg_t* frame, int* more) {
    zmq_msg_init(frame);
    if (zmq_msg_recv(frame, socket, 0) == -1)
        return -1;
    *more = zmq_msg_more(frame);
    return 0;
}

int main(int argc, char** argv) {
    const char* endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:12345";
    const char* topic = argc > 2 ? argv[2] : "";

    /* Without SA_RESTART, so that the signal ends the wait for a message. */
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, strlen(topic));
    if (zmq_bind(socket, endpoint) != 0) {
        fprintf(stderr, "cannot listen on %s: %s\n", endpoint, zmq_strerror(zmq_errno()));
        return 2;
    }

    while (!stop && !ferror(stdout)) {
        zmq_msg_t path, record, extra;
        int more;
        if (receive(socket, &path, &more) != 0) {
            zmq_msg_close(&path);
            if (zmq_errno() == EINTR)
                continue;
            fprintf(stderr, "cannot receive: %s\n", zmq_strerror(zmq_errno()));
            break;
        }
        /* A message arrives as a whole: the other frames are there. */
        if (more && receive(socket, &record, &more) == 0) {
            fwrite(zmq_msg_data(&path), 1, zmq_msg_size(&path), stdout);
            putchar('\t');
            fwrite(zmq_msg_data(&record), 1, zmq_msg_size(&record), stdout);
            putchar('\n');
            fflush(stdout);
            zmq_msg_close(&record);
        }
        /* The plugin sends no further frames. */
        while (more && receive(socket, &extra, &more) == 0)
            zmq_msg_close(&extra);
        zmq_msg_close(&path);
    }
    zmq_close(socket);
    zmq_ctx_term(context);
    return 0;
}
