#include <gmime/gmime.h>
#include <iconv.h>
/* GObject's cast and check macros are not imported into Swift. */
static inline int cgmime_is_multipart(void *object) { return GMIME_IS_MULTIPART(object); }
static inline int cgmime_is_message_part(void *object) { return GMIME_IS_MESSAGE_PART(object); }
static inline int cgmime_is_part(void *object) { return GMIME_IS_PART(object); }
