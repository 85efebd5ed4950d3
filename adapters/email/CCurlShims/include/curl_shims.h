/* curl_easy_setopt and curl_easy_getinfo are variadic, so Swift cannot call them: one function per type of option. */
#ifndef LIAISON_CURL_SHIMS_H
#define LIAISON_CURL_SHIMS_H
#include <curl/curl.h>
CURLcode curl_shim_set_long(CURL *handle, CURLoption option, long value);
CURLcode curl_shim_set_string(CURL *handle, CURLoption option, const char *value);
/* The socket of a connected handle, or -1. */
curl_socket_t curl_shim_active_socket(CURL *handle);
#endif
