#include <colvert/util.h>

const char temporary_name[] = ".colvert-boot.new";
