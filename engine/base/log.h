/* One log for all processes of a run: a line each, written whole, with time, level and the
 * process's name. Control characters are escaped; payloads and keys of CURVE are never logged. */
#ifndef FOLDMILL_BASE_LOG_H
#define FOLDMILL_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Names this process in its lines ("parse.2"), sets the lowest level shown and the descriptor
 * written to (default: "", LOG_INFO, 2). */
void log_open(const char *who, enum log_level level, int fd);

/* Writes one line: "2026-01-31 12:00:00.123 warn parse.2: text". */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
