#include <colvert/util.h>

const char temporary_name[] = ".colvert-provision.new";
